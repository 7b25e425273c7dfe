"""Positions spread evenly."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gristmill.steps.evenly import evenly


@given(st.integers(0, 400), st.integers(1, 50))
def test_first_and_last_and_evenly_between(count, wanted):
    found = evenly(count, wanted)
    assert len(found) == min(count, wanted)
    assert found == sorted(set(found))
    if count > wanted > 1:
        assert (found[0], found[-1]) == (0, count - 1)
        gaps = [b - a for a, b in pairwise(found)]
        assert max(gaps) - min(gaps) <= 1


def test_eight_of_ten():
    assert evenly(10, 8) == [0, 1, 2, 3, 5, 6, 7, 9]
    assert evenly(10, 1) == [0]
