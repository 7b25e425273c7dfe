"""An executor is a file: one that lies elsewhere is found by its name and runs a dataset."""

import sys
from dataclasses import replace

import pytest
from small_world import Watcher, job, run_here, tree_of, url, write_list

from gristmill.run import executors
from gristmill.run.driver import run
from gristmill.spec.errors import UnknownName

LAST_FIRST_PY = '''
"""Runs what was given last first, in this process; at first it has nobody for it."""
from gristmill.run.executors import Executor
from gristmill.run.workers.task import outcome_of


class LastFirst(Executor):
    done = []

    def __init__(self, setup):
        self.recipe, self.workers = setup.start.load(), setup.workers
        self.given, self.happened = [], []
        self.context = setup.start.context(self.happened.append, setup.stop)
        self.weighs, self.begins_after = setup.needs, 3

    def room(self, task):
        return self.begins_after == 0 and sum(self.weighs(one).cpus for one in (*self.given, task)) <= self.workers

    def submit(self, task):
        self.given.append(task)

    def events(self, timeout_s):
        self.begins_after = max(0, self.begins_after - 1)
        if self.given:
            task = self.given.pop()
            self.done.append(task)
            self.happened.append(outcome_of(self.recipe, task, self.context))
        while self.happened:
            yield self.happened.pop(0)

    def stop(self):
        self.context.stop.set()

    def close(self):
        self.context.close()


EXECUTOR = LastFirst
'''


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "more_executors"
    folder.mkdir()
    (folder / "last_first.py").write_text(LAST_FIRST_PY)
    executors.__path__.append(str(folder))
    yield
    executors.__path__.remove(str(folder))
    sys.modules.pop("gristmill.run.executors.last_first", None)


@pytest.mark.usefixtures("outside")
def test_an_executor_is_added_by_a_file(web, tmp_path):
    assert executors.names() == ["in-process", "last-first", "local", "ray"]
    place = write_list(tmp_path / "list.parquet", [url(web, n) for n in range(40)])
    assert run_here(place, tmp_path / "whole")[0].complete
    made = replace(job(place, tmp_path / "out", workers=2), on="last-first")
    assert run(made, Watcher()).complete
    assert tree_of(tmp_path / "out") == tree_of(tmp_path / "whole") != {}
    done = sys.modules["gristmill.run.executors.last_first"].LastFirst.done
    crawled = [task.number for task in done if task.stage == "samples"]
    assert crawled != sorted(crawled)


def test_one_that_there_is_none_of_is_refused_before_a_folder_is_made(web, tmp_path):
    place = write_list(tmp_path / "list.parquet", [url(web, 1)])
    with pytest.raises(UnknownName, match="in-process, local"):
        run(replace(job(place, tmp_path / "out"), on="slurm"), Watcher())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "workers", "found"),
    [("", 0, "InProcess"), ("local", 0, "InProcess"), ("", 2, "Local"), ("in-process", 2, "InProcess")],
)
def test_without_workers_tasks_run_in_this_process(name, workers, found):
    assert executors.find(name, workers).__name__ == found
