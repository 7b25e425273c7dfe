from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gristmill.crawl.schedule import Schedule


def drain(schedule: Schedule[str], now_s: float = 0.0) -> list[str]:
    taken = []
    while (pair := schedule.take(now_s)) is not None:
        taken.append(pair[1])
    return taken


def test_hosts_take_turns() -> None:
    schedule: Schedule[str] = Schedule(per_host=3)
    for i in range(5):
        schedule.add("big", f"big{i}")
    schedule.add("a", "a0")
    schedule.add("b", "b0")
    assert drain(schedule) == ["big0", "a0", "b0", "big1", "big2"]


def test_a_finished_item_makes_room_at_its_host() -> None:
    schedule: Schedule[str] = Schedule(per_host=1)
    for i in range(3):
        schedule.add("h", f"{i}")
    taken = schedule.take(0.0)
    assert taken is not None
    assert schedule.take(0.0) is None
    schedule.done(taken[0])
    assert drain(schedule) == ["1"]


def test_a_paused_host_waits_and_others_do_not() -> None:
    schedule: Schedule[str] = Schedule(per_host=4)
    schedule.add("slow", "s0")
    schedule.add("quick", "q0")
    schedule.host("slow").paused_until_s = 5.0
    assert drain(schedule, 0.0) == ["q0"]
    assert schedule.next_wakeup_s() == 5.0
    schedule.add("slow", "s1")
    assert drain(schedule, 4.9) == []
    assert drain(schedule, 5.0) == ["s0", "s1"]


def test_later_comes_first_in_its_queue_when_its_time_has_come() -> None:
    schedule: Schedule[str] = Schedule(per_host=4)
    schedule.add_later("h", "again", 2.0)
    schedule.add("h", "x")
    assert drain(schedule, 1.0) == ["x"]
    schedule.add("h", "y")
    assert drain(schedule, 2.0) == ["again", "y"]


def test_drop_forgets_what_waits() -> None:
    schedule: Schedule[str] = Schedule(per_host=4)
    schedule.add("h", "x")
    schedule.add_later("g", "x", 2.0)
    schedule.add("h", "y")
    schedule.drop(lambda item: item == "x")
    assert drain(schedule, 10.0) == ["y"]
    assert schedule.next_wakeup_s() is None


def test_idle_hosts_are_forgotten() -> None:
    schedule: Schedule[str] = Schedule(per_host=1)
    for i in range(100):
        schedule.add(f"h{i}", "x")
        taken = schedule.take(0.0)
        assert taken is not None
        schedule.done(taken[0])
        schedule.forget_idle(taken[0], 0.0)
    assert not list(schedule.hosts())


@given(
    items=st.lists(st.integers(0, 4), max_size=60),
    per_host=st.integers(1, 3),
    finishing=st.lists(st.integers(0, 100), max_size=200),
    pauses=st.dictionaries(st.integers(0, 4), st.floats(0, 5), max_size=3),
)
def test_everything_comes_once_and_no_host_has_more_than_its_share(
    items: list[int], per_host: int, finishing: list[int], pauses: dict[int, float]
) -> None:
    schedule: Schedule[int] = Schedule(per_host)
    for number, host in enumerate(items):
        schedule.add(str(host), number)
    for host, until_s in pauses.items():
        schedule.host(str(host)).paused_until_s = until_s
    under_way, seen, now_s = [], [], 0.0
    choices = iter(finishing)
    while len(seen) < len(items):
        while (taken := schedule.take(now_s)) is not None:
            assert taken[0].paused_until_s <= now_s
            under_way.append(taken[0])
            seen.append(taken[1])
        assert max(Counter(host.key for host in under_way).values(), default=0) <= per_host
        if under_way:
            schedule.done(under_way.pop(next(choices, 0) % len(under_way)))
        elif len(seen) < len(items):
            wakeup_s = schedule.next_wakeup_s()
            assert wakeup_s is not None
            now_s = max(now_s, wakeup_s)
    assert sorted(seen) == list(range(len(items)))
