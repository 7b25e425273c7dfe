"""What a task's id depends on, and what not."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from small_world import job, url, write_list

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.planning.planner import Planner
from gristmill.run.stages.pack import PackDecision, PackStage
from gristmill.run.stages.rows import FileDecision, Rows
from gristmill.run.stages.samples import Samples
from gristmill.spec.task import ShardInfo, Task, TaskRecord

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
shards = st.builds(
    ShardInfo,
    path=st.text(max_size=5),
    role=st.sampled_from(("source", "part", "index")),
    samples=st.integers(0, 99),
    size_bytes=st.integers(0, 99),
    digest=digests,
)
tasks = st.builds(
    Task,
    stage=st.sampled_from((Rows.name, Samples.name, PackStage.name)),
    number=st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
    inputs=st.lists(shards, min_size=1, max_size=3).map(tuple),
    identity=digests,
    decision=st.none()
    | st.builds(PackDecision, slices=st.lists(st.tuples(st.integers(), st.integers())).map(tuple)),
)


@given(tasks, st.data())
def test_an_id_depends_on_what_decides_the_outcome_and_on_nothing_else(task, data):
    def moved(shard: ShardInfo) -> ShardInfo:
        return replace(shard, path="elsewhere", samples=0, size_bytes=1)

    same = [
        replace(task),
        replace(task, inputs=tuple(moved(shard) for shard in task.inputs)),
    ]
    if task.decision:
        same.append(replace(task, decision=replace(task.decision)))
    assert {other.id for other in same} == {task.id}
    first, *others = task.inputs
    digest = data.draw(digests.filter(lambda d: d != first.digest))
    different = [
        replace(task, stage="other"),
        replace(task, number=(task.number[0] + 1, *task.number[1:])),
        replace(task, number=(*task.number[:2], task.number[2] + 1)),
        replace(task, identity=data.draw(digests.filter(lambda d: d != task.identity))),
        replace(task, decision=FileDecision(only=1)),
        replace(task, inputs=(replace(first, digest=digest), *others)),
        replace(task, inputs=(*task.inputs, first)),
    ]
    assert len({task.id, *(other.id for other in different)}) == len(different) + 1
    assert len(task.id) == 16


def test_ids_are_the_same_in_another_process():
    """No hash randomisation, locale, time or host in it."""
    code = (
        "from gristmill.spec.task import *\n"
        "shard = ShardInfo(path='p', role='part', samples=1, size_bytes=2, digest='d' * 64)\n"
        "decision = {'é': [1], 'a': {2, 3}}\n"
        "task = Task(stage='pack', number=(1, 2, 3), inputs=(shard,), identity='i' * 64, decision=decision)\n"
        "print(task.id)"
    )
    seen = {
        subprocess.check_output(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C", "TZ": zone},
        )
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(seen) == 1


def coyo(**changes: str):
    dotted = {name.replace("__", "."): text for name, text in changes.items()}
    return Pipeline(recipes.load("coyo-700m", None, dotted))


def test_a_stage_is_identified_by_the_settings_that_matter_to_it():
    plain = coyo()
    for changes, changed in (
        ({"select__share": "0.1"}, {Rows.name}),
        ({"select__part_rows": "10"}, {Rows.name}),
        ({"crawl__size_px": "224"}, {Samples.name}),
        ({"crawl__max_phash_distance": "10"}, {Samples.name}),
        ({"pack__shard_samples": "10"}, {PackStage.name}),
        ({"crawl__in_flight": "3", "crawl__contact": "me@example.org", "crawl__codecs": "2"}, set()),
    ):
        other = coyo(**changes)
        assert {
            s for s in (Rows.name, Samples.name, PackStage.name) if other[s].identity != plain[s].identity
        } == changed
    newer = Pipeline(replace(recipes.find("coyo-700m"), version="2030.1.1"))
    assert {newer[s].identity for s in (Rows.name, Samples.name, PackStage.name)}.isdisjoint(
        {plain[s].identity for s in (Rows.name, Samples.name, PackStage.name)}
    )


# schedules: records that come in any order, in any number of processes, settle the same tasks


def index_of(position: int, part: int, kept: int) -> ShardInfo:
    name = f"{position}-{part}"
    return ShardInfo(
        path=f".gristmill/crawled/{name}",
        role="index",
        samples=kept,
        size_bytes=1,
        digest=hashlib.sha256(name.encode()).hexdigest(),
    )


def done(task: Task, parts: list[list[int]]) -> TaskRecord:
    """The record that a task gives, where each part keeps so many samples."""
    _, position, number = task.number
    if task.stage == Rows.name:
        outputs = tuple(
            ShardInfo(
                path=f".gristmill/parts/p{position}-{n}",
                role="part",
                samples=9,
                size_bytes=1,
                digest=hashlib.sha256(f"{position}-{n}".encode()).hexdigest(),
            )
            for n in range(len(parts[position]))
        )
        kept = 9 * len(outputs)
    else:
        outputs = (index_of(position, number, parts[position][number]),) if task.stage == Samples.name else ()
        kept = sum(shard.samples for shard in outputs)
    return TaskRecord(
        task_id=task.id,
        stage=task.stage,
        number=task.number,
        outputs=outputs,
        samples_in=kept,
        kept=kept,
        finished_at=time.time(),
    )


@given(data=st.data(), parts=st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=3, max_size=3))
def test_any_number_of_processes_settle_the_same_tasks(tmp_path_factory, data, parts):
    recipe = recipes.load("coyo-700m", None, {"pack.shard_samples": "5"})
    inputs = tuple(
        InputFile(source="annotations", name=f"{n}.parquet", size_bytes=1, digest=f"{n}" * 64)
        for n in range(3)
    )
    config = RunConfig(
        recipe="coyo-700m", name="coyo-700m", version="1", identity=recipe.identity(), inputs=inputs
    )
    found = []
    for processes in (1, data.draw(st.integers(1, 3))):
        folder = tmp_path_factory.mktemp("schedule")
        spans = [range(3)] if processes == 1 else [range(n, 3, processes) for n in range(processes)]
        ledgers = [Ledger(folder) for _ in spans]
        schedules = [
            Planner(recipe, config, ledger, span) for ledger, span in zip(ledgers, spans, strict=True)
        ]
        seen: dict[str, Task] = {}
        while True:
            for ledger, schedule in zip(ledgers, schedules, strict=True):
                for record in ledger.refresh():
                    schedule.absorb(record)
            ready = [(i, task) for i, s in enumerate(schedules) if (task := s.pop()) is not None]
            if not ready:
                break
            chosen = data.draw(st.integers(0, len(ready) - 1))
            for n, (i, task) in enumerate(ready):
                if n != chosen:
                    schedules[i].push(task)
            i, task = ready[chosen]
            seen[task.id] = task
            record = done(task, parts)
            ledgers[i].commit(record)
            schedules[i].absorb(record)
        assert all(schedule.complete for schedule in schedules)
        for ledger in ledgers:
            ledger.close()
        found.append(seen)
    assert found[0] == found[1]
    numbers = sorted(task.number for task in found[0].values() if task.stage == PackStage.name)
    samples = sum(kept for part in parts for kept in part)
    assert numbers == [(0, 0, n) for n in range(-(-samples // 5))]


def test_files_are_begun_one_after_another(web, tmp_path):
    """Disk need not hold all of them: what is nearer to a shard goes first."""
    from small_world import run_here

    for n in range(3):
        write_list(tmp_path / "lists" / f"{n}.parquet", [url(web, 10 * n + i) for i in range(10)])
    _, watcher = run_here(tmp_path / "lists", tmp_path / "out", settings={"pack.shard_samples": "4"})
    stages = [record.stage for record in watcher.committed_tasks]
    assert [n for n, stage in enumerate(stages) if stage == Rows.name][1] > stages.index(PackStage.name)
    assert stages[0] == Rows.name


def test_jobs_survive_pickling(tmp_path):
    """They travel to other machines."""
    import pickle

    made = job(tmp_path / "list.parquet", tmp_path / "out")
    assert isinstance(made.load, partial)
    assert pickle.loads(pickle.dumps(made)).folder == made.folder
