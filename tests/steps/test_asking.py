"""Which media are asked for: a function of the answers, whatever their order."""

import random

from hypothesis import given
from hypothesis import strategies as st

from gristmill.spec.fate import Fate
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Origin, Sample
from gristmill.steps.asking import Asking

GONE = Reason.HTTP_404


def page(row: int, urls: list[str]) -> Sample:
    media = {f"{n:03d}.jpg": MediaRef(at=Url(url)) for n, url in enumerate(urls)}
    return Sample(key=str(row), media=media, origin=Origin(source="s", file="f", row=row))


def play(samples, dead, least, rng, done=None):
    """Ask until nothing is due, answering in any order; returns what was asked and the pages."""
    asking = Asking(samples, done or {}, least)
    flying, asked = list(asking.due(asking.pages)), []
    while flying:
        number, at = flying.pop(rng.randrange(len(flying)))
        url = at.url
        asked.append(url)
        wanting = asking.wanting(number)
        for one in wanting:
            one.page.settle(one.name, GONE if url in dead else None)
        flying += asking.due([one.page for one in wanting])
    return asked, asking.pages


documents = st.lists(st.lists(st.integers(0, 30).map(str), max_size=7), max_size=8)


def least_of(share):
    return lambda media: min(media, share) if share else media


@given(documents, st.sets(st.integers(0, 30).map(str)), st.integers(0, 3), st.randoms())
def test_kept_is_what_has_enough_and_the_order_of_answers_does_not_matter(rows, dead, share, rng):
    samples = [page(n, urls) for n, urls in enumerate(rows)]
    asked, pages = play(samples, dead, least_of(share), rng)
    assert len(asked) == len(set(asked))
    other, again = play(samples, dead, least_of(share), random.Random(0))
    assert set(asked) == set(other)
    for urls, one, two in zip(rows, pages, again, strict=True):
        living = sum(url not in dead for url in urls)
        assert one.over
        assert one.lost == (living < least_of(share)(len(urls)))
        assert one.reason == two.reason == (GONE if one.lost else None)


@given(documents, st.sets(st.integers(0, 30).map(str)), st.randoms(), st.data())
def test_going_on_after_an_interruption_asks_for_the_rest_alone(rows, dead, rng, data):
    samples = [page(n, urls) for n, urls in enumerate(rows)]
    whole, pages = play(samples, dead, least_of(0), rng)
    known = data.draw(st.sets(st.sampled_from(whole))) if whole else set()
    done = {
        (n, f"{i:03d}.jpg"): Fate(row=n, reason=GONE if url in dead else None)
        for n, urls in enumerate(rows)
        for i, url in enumerate(urls)
        if url in known
    }
    rest, again = play(samples, dead, least_of(0), rng, done)
    assert set(rest) == set(whole) - known
    assert [p.reason for p in again] == [p.reason for p in pages]


def test_a_lost_document_costs_no_further_request():
    asked, (one,) = play([page(0, ["a", "b", "c", "d"])], {"b"}, least_of(0), random.Random(1))
    assert asked == ["a", "b"]
    assert list(one.not_needed()) == ["002.jpg", "003.jpg"]


def test_an_url_that_another_document_wants_is_asked_for_nevertheless():
    asked, pages = play([page(0, ["x", "a"]), page(1, ["a"])], {"x"}, least_of(0), random.Random(1))
    assert sorted(asked) == ["a", "x"]
    assert [p.lost for p in pages] == [True, False]


def test_with_images_to_spare_they_are_asked_for_at_once():
    asking = Asking([page(0, ["a", "b", "c", "d"])], {}, lambda media: 2)
    assert [at.url for _, at in asking.due(asking.pages)] == ["a", "b", "c"]


def test_too_few_from_the_beginning_are_not_asked_for():
    asked, (one,) = play([page(0, ["a"])], set(), lambda media: 2, random.Random(1))
    assert asked == []
    assert one.lost
    assert one.reason is Reason.FEW_IMAGES


def test_what_was_not_needed_before_may_be_now():
    done = {(0, "000.jpg"): Fate(row=0), (0, "001.jpg"): Fate(row=0, reason=Reason.NOT_NEEDED)}
    assert play([page(0, ["a", "b"])], set(), least_of(0), random.Random(1), done)[0] == ["b"]
