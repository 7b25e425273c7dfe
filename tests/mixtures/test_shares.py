"""How often each sample of a part is taken: exact in number, the same however the part is cut into shards."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gristmill.run.stages.scatter import Share
from gristmill.spec.mixture import SUBSETS, Part
from gristmill.steps.shuffle import Shuffle

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 0)


@given(
    sizes=SIZES,
    weight=st.floats(0.01, 4).map(lambda weight: round(weight, 2)),
    cap=st.none() | st.integers(1, 200),
    subset=st.sampled_from(SUBSETS),
    seed=st.integers(0, 1 << 40),
)
def test_shards_together_give_what_the_part_says(sizes, weight, cap, subset, seed):
    of, step = sum(sizes), Shuffle(seed=seed)
    taken = Part(name="a", weight=weight, cap=cap, subset=subset).taken(of)
    pieces, first = [], 0
    for size in sizes:
        share = Share(first=first, taken=taken, of=of, subset=subset)
        pieces.append(share.copies(size, step))
        assert share.of_next(size, step) == pieces[-1].sum()
        first += size
    copies = np.concatenate(pieces)
    assert copies.sum() == taken
    assert copies.max() - copies.min() <= 1
    assert (copies == Share(first=0, taken=taken, of=of, subset=subset).copies(of, step)).all()
    if subset == "first":
        assert (np.diff(copies) <= 0).all()


def test_another_seed_takes_others_and_of_each_about_as_many():
    times = sum(
        Share(first=0, taken=50, of=200, subset="random").copies(200, Shuffle(seed=seed))
        for seed in range(400)
    )
    assert 60 < times.min() < 100 < times.max() < 140


def test_the_weight_is_met_to_a_thousandth():
    for weight in (0.013, 0.1, 0.333, 1.7):
        taken = Part(name="a", weight=weight).taken(10_000_000)
        assert abs(taken / 10_000_000 - weight) <= weight / 1000
