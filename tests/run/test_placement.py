"""Which worker gets a task: by what it needs, what is aboard, and how full the crawler is."""

import pytest

from gristmill.run.executors._placement import MOST_AT_ONCE, Place, Placement, memory_gib
from gristmill.run.state.context import Progress
from gristmill.run.workers.messages import Beat
from gristmill.spec.step import Needs

CRAWL = Needs(cpus=0.16, memory_gib=0.02, network=True)
HALF, WHOLE = Needs(cpus=0.5, memory_gib=0.3), Needs(cpus=1, memory_gib=0.3)


def progress(task: str, done: int, total: int = 1000) -> Progress:
    return Progress(task_id=task, stage="samples", done=done, total=total, reasons={}, bytes_in=0)


def place_with(*tasks: tuple[Needs, int]) -> Place:
    """Each with so many media left."""
    place = Place()
    for n, (needs, left) in enumerate(tasks):
        place.put(f"t{n}", needs, 1000)
        place.heard(progress(f"t{n}", 1000 - left))
    return place


@pytest.mark.parametrize(
    ("aboard", "crawl", "half", "whole"),
    [
        ([], True, True, True),
        ([(CRAWL, 600)], False, False, False),  # it has enough to do
        ([(CRAWL, 40)], True, True, False),
        ([(CRAWL, 40)] * 5, True, False, False),
        ([(CRAWL, 40)] * 6, False, False, False),
        ([(HALF, 600)], False, False, False),
        ([(HALF, 40)], True, True, False),
        ([(HALF, 40)] * 2, False, False, False),
        ([(WHOLE, 1)], False, False, False),
    ],
)
def test_tasks_fit_beside_one_another_by_what_they_work(aboard, crawl, half, whole):
    place = place_with(*aboard)
    assert [place.room(needs) for needs in (CRAWL, HALF, WHOLE)] == [crawl, half, whole]


@pytest.mark.parametrize(
    ("beats", "starves"),
    [([0.1], False), ([0.1, 0.1], True), ([0.1, 0.9, 0.1], False), ([1.0, 1.0], False)],
)
def test_a_worker_whose_crawler_is_far_from_full_gets_more_and_computes_beside(beats, starves):
    place = place_with(*[(CRAWL, 600)] * 6)
    for fill in beats:
        place.heard(Beat(fill, True))
    assert [place.room(needs) for needs in (CRAWL, HALF, WHOLE)] == [starves] * 3


def test_one_task_that_computes_stands_beside_crawls_and_crawls_have_a_bound():
    place = place_with(*[(CRAWL, 600)] * 6)
    place.put("pack", WHOLE, 10)
    for _ in range(2):
        place.heard(Beat(0.1, True))
    assert [place.room(needs) for needs in (CRAWL, WHOLE)] == [True, False]
    for n in range(MOST_AT_ONCE - len(place)):
        place.put(f"more {n}", CRAWL, 1)
    for _ in range(2):
        place.heard(Beat(0.1, True))
    assert not place.room(CRAWL)


@pytest.mark.parametrize(("silent", "more"), [(0, False), (50, False), (300, True), (700, True)])
def test_media_of_silent_hosts_do_not_count_as_work_that_is_left(silent, more):
    place = place_with((CRAWL, 600))
    place.heard(Beat(1.0, True, unanswered=silent))
    assert place.room(CRAWL) is place.room(WHOLE) is more


def test_a_suspect_runs_alone():
    place = place_with((CRAWL, 1))
    assert not place.room(CRAWL, alone=True)
    place.took("t0")
    assert place.room(CRAWL, alone=True)
    place.put("suspect", CRAWL, 1, alone=True)
    assert not place.room(CRAWL)


def test_the_worker_with_least_to_do_gets_the_task():
    places = {0: place_with((CRAWL, 40)), 1: place_with((CRAWL, 30)), 2: place_with((CRAWL, 600))}
    placement = Placement(memory_gib=8)
    assert placement.choose(places, CRAWL) == 1
    assert placement.choose(places, WHOLE) is None
    assert placement.choose({**places, 3: Place()}, WHOLE) == 3


def test_all_tasks_together_stay_within_memory_but_for_a_single_one():
    large, placement = Needs(cpus=1, memory_gib=5), Placement(memory_gib=8)
    places = {0: Place(), 1: Place()}
    assert placement.choose(places, large) == 0
    places[0].put("large", large, 1)
    assert placement.choose(places, large) is None
    assert placement.choose(places, HALF) == 1
    assert Placement(memory_gib=1).choose({0: Place()}, large) == 0


def test_the_memory_of_this_machine_is_known():
    assert 0.1 < memory_gib() < 1e6
