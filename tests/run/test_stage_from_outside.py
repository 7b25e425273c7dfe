"""A stage is a file: one that lies elsewhere is found, planned and done, and nothing is edited for it."""

import sys

import pytest
from small_world import Watcher, job, url, write_list

from gristmill.ledger.ledger import Ledger
from gristmill.run import stages
from gristmill.run.driver import run
from gristmill.run.planning.pipeline import Pipeline

COUNT_PY = '''
"""Between the samples and the packing: counts each part's samples, and hands them on."""
from dataclasses import dataclass

from gristmill.run.planning.stage import Stage
from gristmill.spec.barrier import Barrier
from gristmill.spec.task import Task, decided


@dataclass(frozen=True, kw_only=True)
class Expected:
    samples: int


class Count(Stage):
    name = "count"
    rank = 2

    @classmethod
    def steps_of(cls, steps):
        return () if isinstance(steps[-1], Barrier) else None

    async def flow(self, upstream, round_, plan):
        async for made in upstream:
            decision = Expected(samples=made.shard.samples)
            task = Task(
                stage=self.name, number=made.number, inputs=(made.shard,), identity=self.identity, decision=decision
            )
            plan.want(task)
            await plan.done(task)
            yield made

    def work(self, recipe, task, context, work):
        work.found = decided(task, Expected).samples
        work.samples_in = work.kept = task.inputs[0].samples


STAGE = Count
'''


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "more_stages"
    folder.mkdir()
    (folder / "count.py").write_text(COUNT_PY)
    stages.__path__.append(str(folder))
    yield
    stages.__path__.remove(str(folder))
    del sys.modules["gristmill.run.stages.count"]


@pytest.mark.usefixtures("outside")
def test_a_stage_is_added_by_a_file(web, tmp_path):
    write_list(tmp_path / "list.parquet", [url(web, n) for n in range(6)])
    made = job(tmp_path / "list.parquet", tmp_path / "out")
    names = [stage.name for stage in Pipeline(made.load())]
    assert names.index("samples") < names.index("count") < names.index("pack")
    ended = run(made, Watcher())
    assert ended.complete
    ledger = Ledger(made.folder)
    (counted,) = ledger.stage("count")
    assert counted.found == counted.kept == ledger.stage("samples")[0].kept > 0
    assert sum(record.kept for record in ledger.stage("pack")) == counted.kept
    ledger.close()


def test_without_its_file_there_is_no_such_stage(tmp_path):
    made = job(tmp_path / "list.parquet", tmp_path / "out")
    assert "count" not in [stage.name for stage in Pipeline(made.load())]
