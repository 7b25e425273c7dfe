"""Where shards are cut: a matter of the samples alone, not of how they came."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.spec.barrier import Group, IndexSummary
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.task import ShardInfo
from gristmill.steps.pack import Pack

sample_sizes = st.lists(st.integers(1, 50), max_size=80)


def feed(pack: Pack, summaries: Sequence[Sequence[int]]) -> list[Group]:
    """All groups, in order; a summary is the stored bytes of its samples."""
    decider, groups = pack.decider(), []
    for n, sizes in enumerate(summaries):
        shard = ShardInfo(path=str(n), role="index", samples=len(sizes), size_bytes=0, digest=str(n))
        groups += decider.feed(IndexSummary(shard=shard, sizes=lambda sizes=sizes: sizes))
    return groups + decider.finish()


def samples_of(group: Group, summaries: Sequence[Sequence[int]]) -> list[int]:
    """The group's samples, counted over all summaries."""
    first = [sum(len(s) for s in summaries[:n]) for n in range(len(summaries))]
    return [
        first[int(piece.shard.path)] + n for piece in group.slices for n in range(piece.start, piece.stop)
    ]


@st.composite
def cuts(draw: st.DrawFn, sizes: list[int]) -> list[list[int]]:
    """The same samples in other summaries, some of them empty."""
    at = sorted(draw(st.lists(st.integers(0, len(sizes)), max_size=8)))
    return [sizes[a:b] for a, b in zip([0, *at], [*at, len(sizes)], strict=True)]


@st.composite
def two_cuts(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[list[int]]]:
    sizes = draw(sample_sizes)
    return sizes, draw(cuts(sizes)), draw(cuts(sizes))


@given(two_cuts(), st.integers(1, 20), st.booleans())
def test_equal_shards_hold_every_sample_once_in_order(made, shard_samples, drop_tail):
    sizes, one, other = made
    pack = Pack(shard_samples=shard_samples, drop_tail=drop_tail)
    groups = feed(pack, one)
    shards = [samples_of(group, one) for group in groups]
    assert [n for shard in shards for n in shard] == list(range(len(sizes)))
    assert [group.samples for group in groups] == [len(shard) for shard in shards]
    assert all(len(shard) == shard_samples for shard in shards[:-1])
    assert not shards or 0 < len(shards[-1]) <= shard_samples
    short = bool(shards) and len(shards[-1]) < shard_samples
    dropped = [group.drop for group in groups]
    assert (
        dropped == [*[None] * (len(groups) - 1), Reason.TAIL if short and drop_tail else None][: len(groups)]
    )
    assert shards == [samples_of(group, other) for group in feed(pack, other)]


@given(two_cuts(), st.integers(1, 120))
def test_shards_by_bytes_are_as_full_as_can_be(made, shard_bytes):
    sizes, one, other = made
    pack = Pack(shard_bytes=shard_bytes, drop_tail=True)
    groups = feed(pack, one)
    shards = [samples_of(group, one) for group in groups]
    assert [n for shard in shards for n in shard] == list(range(len(sizes)))
    assert all(group.drop is None for group in groups)
    for shard, following in pairwise(shards):
        assert sum(sizes[n] for n in shard) + sizes[following[0]] > shard_bytes
    for shard in shards:
        assert len(shard) == 1 or sum(sizes[n] for n in shard) <= shard_bytes
    assert shards == [samples_of(group, other) for group in feed(pack, other)]


@given(two_cuts(), st.integers(1, 20), st.booleans())
def test_every_row_that_failed_goes_with_one_shard(made, shard_samples, by_bytes):
    """Each summary's beginning and end lie in exactly one group, those without samples included."""
    sizes, summaries, _ = made
    pack = Pack(shard_samples=shard_samples, shard_bytes=60 if by_bytes else None)
    slices = [piece for group in feed(pack, summaries) for piece in group.slices]
    if not sizes:
        assert slices == []
        return
    for n, summary in enumerate(summaries):
        of_it = [piece for piece in slices if piece.shard.path == str(n)]
        assert [piece.start for piece in of_it] == [0, *(piece.stop for piece in of_it[:-1])]
        assert of_it[-1].stop == len(summary)


def test_a_shard_is_settled_as_soon_as_the_next_sample_is_known():
    decider = Pack(shard_samples=3).decider()

    def fed(name: str, samples: int) -> list[int]:
        shard = ShardInfo(path=name, role="index", samples=samples, size_bytes=0, digest=name)
        return [group.samples for group in decider.feed(IndexSummary(shard=shard, sizes=lambda: []))]

    assert [fed("a", 3), fed("b", 0), fed("c", 1), fed("d", 7)] == [[], [], [3], [3, 3]]
    assert [group.samples for group in decider.finish()] == [2]


@pytest.mark.parametrize("settings", [{"shard_samples": 0}, {"shard_bytes": 0}, {"shard_samples": -5}])
def test_shards_of_nothing(settings):
    with pytest.raises(UsageError, match="at least 1"):
        Pack(**settings)
