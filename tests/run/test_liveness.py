"""When a worker is given up: it says nothing, or nothing in it gets further."""

import pytest
from small_world import wait_for

from gristmill.run.executors._liveness import Liveness, standstill_s
from gristmill.run.state.context import Context
from gristmill.run.workers.messages import Beat
from gristmill.run.workers.worker import Moving
from gristmill.spec.errors import Stopped, UsageError
from gristmill.storage.store import store_at


class Played:
    """A worker whose seconds are played: each a beat, unless it is silent."""

    def __init__(self, limit_s: float) -> None:
        self.now_s = self.cpu_s = 0.0
        self.liveness = Liveness(limit_s, lambda: self.now_s)

    def lives(self, seconds: int, *, cpus: float = 0.0, moves: bool = False, silent: bool = False) -> None:
        for _ in range(seconds):
            self.now_s += 1
            self.cpu_s += cpus
            if not silent:
                self.liveness.heard(Beat(0.5, moves, self.cpu_s))

    def said(self, *, works: bool = True) -> str:
        lost = self.liveness.lost(works=works)
        return f"{lost.said}{' (waits)' * lost.waits}" if lost else ""


def test_one_that_says_nothing_is_lost_whether_or_not_it_works():
    worker = Played(1800)
    worker.lives(60, silent=True)
    assert worker.said() == ""
    worker.lives(1, silent=True)
    assert worker.said() == worker.said(works=False) == "gave no sign of life for 60 s and was killed"


@pytest.mark.parametrize(
    ("cpus", "said"),
    [
        (1.0, "computed for 90 s without progress and was killed"),
        (0.01, "waited for 90 s without progress and was killed (waits)"),
    ],
)
def test_one_in_which_nothing_moves_is_lost_and_it_is_told_whether_it_computed(cpus, said):
    worker = Played(90)
    worker.lives(500, cpus=1.0, moves=True)
    worker.lives(90, cpus=cpus)
    assert worker.said() == ""
    worker.lives(1, cpus=cpus)
    assert worker.said() == said
    assert worker.said(works=False) == ""


@pytest.mark.parametrize("event", ["moves", "word", "task"])
def test_the_time_begins_anew_whenever_it_gets_further(event):
    worker = Played(90)
    worker.lives(80, cpus=1.0)
    if event == "moves":
        worker.lives(1, moves=True)
    elif event == "word":
        worker.liveness.heard()
    else:
        worker.liveness.begins()
    worker.lives(80)
    assert worker.said() == ""
    worker.lives(20)
    assert worker.said() == "waited for 90 s without progress and was killed (waits)"


def test_silence_while_we_did_not_listen_is_ours():
    worker = Played(90)
    worker.lives(80, silent=True)
    worker.liveness.excuse(80)
    assert worker.said() == ""


@pytest.mark.parametrize(("text", "limit_s"), [("", 1800.0), ("0.5", 0.5)])
def test_the_limit_may_be_set(text, limit_s, monkeypatch):
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", text)
    assert standstill_s() == limit_s


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_a_limit_that_is_none_is_said(text, monkeypatch):
    monkeypatch.setenv("GRISTMILL_STANDSTILL_S", text)
    with pytest.raises(UsageError, match=f"GRISTMILL_STANDSTILL_S={text}: expected a number of seconds"):
        standstill_s()


@pytest.fixture
def quiet(tmp_path):
    """What is asked whether anything moved, once nothing does any more."""
    context = Context(store=store_at(tmp_path), inputs=(), remotes={})
    moving = Moving(context)
    wait_for(lambda: not moving())
    return context, moving


def test_a_task_that_says_how_far_it_is_or_looks_whether_to_stop_moves(quiet):
    context, moving = quiet
    context.check_stop()
    assert moving()
    context.stop.set()
    with pytest.raises(Stopped):
        context.check_stop()
    assert moving()
    assert not any(moving() for _ in range(50))


def test_bytes_that_are_read_move_and_signs_of_life_do_not(quiet, tmp_path):
    _, moving = quiet
    path = tmp_path / "large"
    path.write_bytes(bytes(1 << 18))
    assert moving()
    path.read_bytes()
    assert moving()


def test_a_crawler_that_waits_for_answers_moves(quiet):
    class Crawler:
        asking = True

        def close(self) -> None:
            pass

    context, moving = quiet
    context.resource("crawler", Crawler)
    assert moving()
    assert moving()
