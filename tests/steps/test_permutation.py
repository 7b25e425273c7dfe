"""The order of a shuffle: a bijection, mixed, the same for ever, and Python's own where that is asked for."""

import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gristmill.spec.errors import UsageError
from gristmill.steps.permutation import PUBLISHED_LIMIT, permuted, published_places
from gristmill.steps.shuffle import Shuffle

GOLDEN = [9, 7, 0, 5, 2, 3, 4, 10, 11, 8, 6, 1]
GOLDEN_LARGE = [718741, 622709, 593391, 679599, 545577]


def all_of(samples, seed=1):
    return permuted(0, samples, samples=samples, seed=seed)


@pytest.mark.parametrize(
    "samples", [*range(70), 255, 256, 257, 1000, 4095, 4096, 4097, 65_536, 65_537, 100_003, 300_000]
)
def test_every_number_is_taken_once(samples):
    assert np.array_equal(np.sort(all_of(samples)), np.arange(samples))


@given(samples=st.integers(1, 5000), seed=st.integers(0, 2**63), data=st.data())
def test_a_piece_is_the_same_as_within_the_whole(samples, seed, data):
    start = data.draw(st.integers(0, samples))
    stop = data.draw(st.integers(start, samples))
    whole = all_of(samples, seed)
    assert np.array_equal(permuted(start, stop, samples=samples, seed=seed), whole[start:stop])
    assert sorted(whole.tolist()) == list(range(samples))


def test_beyond_32_bits():
    samples = 3 * 10**12 + 7
    places = permuted(10**12, 10**12 + 5000, samples=samples, seed=9)
    assert len(np.unique(places)) == 5000
    assert places.min() >= 0
    assert places.max() < samples
    assert abs(places.mean() / samples - 0.5) < 0.03


def test_what_is_not_among_them_is_refused():
    with pytest.raises(ValueError, match="not among 10"):
        permuted(3, 11, samples=10, seed=1)


def test_the_order_of_today_is_that_of_tomorrow():
    assert all_of(12).tolist() == GOLDEN
    assert permuted(999_995, 1_000_000, samples=1_000_000, seed=7).tolist() == GOLDEN_LARGE


@pytest.mark.parametrize(("samples", "seed"), [(128 * 100, 1), (100_000, 2), (65_536, 3), (70_000, 4)])
def test_positions_are_mixed(samples, seed):
    """Chi-square over sixteenths of the input and of the output, neighbours, and fixed points."""
    places = all_of(samples, seed)
    cells = np.zeros((16, 16))
    np.add.at(cells, (np.arange(samples) * 16 // samples, places * 16 // samples), 1)
    wanted = samples / 256
    assert 146 < ((cells - wanted) ** 2 / wanted).sum() < 320  # 225 degrees of freedom, p = 0.00001 each way
    steps = np.diff(places)
    assert (np.abs(steps) == 1).sum() < 12  # about 2 are to be expected
    assert len(np.unique(steps)) > samples / 2
    assert (places == np.arange(samples)).sum() < 10  # about 1
    assert abs(np.corrcoef(np.arange(samples), places)[0, 1]) < 0.02


@pytest.mark.slow
def test_small_orders_are_all_reached():
    """Each order of four occurs about as often as any other, over many seeds."""
    counts = np.unique([all_of(4, seed).tolist() for seed in range(2400)], axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 100) ** 2 / 100).sum() < 52  # 23 degrees of freedom, p = 0.0005


def test_seeds_have_nothing_in_common():
    agree = sum((all_of(1000, seed) == all_of(1000, seed + 1)).sum() for seed in range(50))
    assert 20 < agree < 90  # 50 are to be expected


@given(st.integers(0, 400), st.integers(0, 1000))
def test_the_published_order_is_pythons(samples, seed):
    order = list(range(samples))
    random.Random(seed).shuffle(order)
    assert [order[place] for place in published_places(samples, seed)] == list(range(samples))


def test_the_published_order_by_its_own_steps():
    """Fisher and Yates from the end, each draw by as many random bits as it takes, drawn again if too large."""
    source, order = random.Random(1), list(range(1000))
    for last in range(999, 0, -1):
        bits = (last + 1).bit_length()
        other = source.getrandbits(bits)
        while other > last:
            other = source.getrandbits(bits)
        order[last], order[other] = order[other], order[last]
    assert [order[place] for place in published_places(1000, 1)] == list(range(1000))


@given(
    samples=st.integers(0, 3000),
    shards=st.integers(1, 200),
    order=st.sampled_from(["seeded", "published", "none"]),
)
def test_shards_differ_by_at_most_one(samples, shards, order):
    places = Shuffle(shards=shards, order=order).places(samples)
    bounds = [places.bounds(shard) for shard in range(places.shards)]
    sizes = {last - first for first, last in bounds}
    if order != "published" or samples < shards:
        assert places.shards == min(shards, samples)
    assert len(sizes) <= 2
    assert max(sizes, default=0) - min(sizes, default=0) <= (order != "published")
    assert [first for first, _ in bounds[1:]] == [last for _, last in bounds[:-1]]
    assert sum(last - first for first, last in bounds) == places.kept
    assert samples - places.kept == (samples % places.shards if order == "published" and samples else 0)
    assert np.array_equal(np.sort(places.of(0, samples)), np.arange(samples))


@given(samples=st.integers(1, 3000), shards=st.integers(1, 200))
def test_the_published_order_is_cut_as_the_published_script_cuts(samples, shards):
    """Pieces of ``samples // shards`` while there are as many: of few samples more pieces than ``shards``."""
    assume(samples >= shards)
    size, left, pieces = samples // shards, list(range(samples)), 0
    while len(left) >= size:
        left, pieces = left[size:], pieces + 1
    places = Shuffle(shards=shards, order="published").places(samples)
    assert (places.shards, samples - places.kept) == (pieces, len(left))
    assert {last - first for first, last in map(places.bounds, range(places.shards))} == {size}


def test_shards_by_their_size():
    assert Shuffle(shard_samples=100).places(1001).shards == 11
    assert Shuffle(shards=100).places(7, earlier=1000).shards == 1
    assert Shuffle(shards=100).places(31, earlier=1000).shards == 4


def test_more_than_the_published_order_can_hold():
    with pytest.raises(UsageError, match="at most 50,000,000"):
        Shuffle(order="published").places(PUBLISHED_LIMIT + 1)


@pytest.mark.parametrize("settings", [{"shards": 0}, {"shard_samples": 0}, {"order": "random"}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(UsageError, match="shuffle"):
        Shuffle(**settings)
