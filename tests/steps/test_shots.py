"""Frames of shots out of the published lists, which are pickles with arrays of NumPy."""

import pickle

import numpy as np
import pytest

from gristmill.spec.cut import Cut
from gristmill.spec.errors import SourceError
from gristmill.spec.locator import Video
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, MediaRef, Sample
from gristmill.steps.shots import ShotFrames

LIST = {
    "A_.7.mp4": np.array([[0, 39], [40, 101]]),
    "-b.0.mp4": np.array([[5, 99]], np.int32),
    "c.1.mp4": [[3, 3]],
    "none.mp4": [],
}


def sample(clip, cut=None):
    ref = MediaRef(kind="video", at=Video("videos", clip), cut=cut, name=f"{clip}.mp4")
    return Sample(key="k", media={"000": ref})


def frames(first, last):
    return Cut(first_frame=first, last_frame=last)


@pytest.fixture
def step(tmp_path):
    first, second = dict(list(LIST.items())[:2]), dict(list(LIST.items())[2:])
    for name, shots in (("134k_split_info.pkl", first), ("20k_split_info.pkl", second)):
        (tmp_path / name).write_bytes(pickle.dumps(shots))
    return ShotFrames().with_aux({"splits": tuple(sorted(tmp_path.iterdir()))})


@pytest.mark.parametrize(("clip", "first", "last"), [("-b.0", 5, 99), ("c.1", 3, 3)])
def test_a_clip_of_one_shot_is_cut_to_it(clip, first, last, step):
    ref = step.apply(sample(clip)).media["000"]
    assert (ref.cut, ref.name) == (frames(first, last), f"{clip}_{first}_{last}.mp4")


def test_of_several_shots_it_cannot_be_told_which(step):
    drop = step.apply(sample("A_.7"))
    assert isinstance(drop, Drop)
    assert (drop.reason, drop.detail) == (
        Reason.BAD_ROW,
        "A_.7.mp4 has 2 shots, and which is meant is not said",
    )


def test_a_shot_that_is_named_stays_and_an_unlisted_one_is_told(step):
    assert step.apply(sample("A_.7", frames(40, 101))) == sample("A_.7", frames(40, 101))
    told = step.apply(sample("A_.7", frames(40, 100)))
    assert told.media["000"].cut == frames(40, 100)
    assert told.columns[CHANGES] == ["shot_not_listed"]


@pytest.mark.parametrize("clip", ["other", "none"])
def test_a_clip_that_is_not_listed_stays_as_it_is(clip, step):
    assert step.apply(sample(clip)) == sample(clip)
    assert ShotFrames().with_aux({}).apply(sample("A_.7")) == sample("A_.7")


@pytest.mark.parametrize(
    "wrong", [[1, 2], {"a.mp4": [[2, 1]]}, {"a.mp4": [[0, 1, 2]]}, {"a.mp4": [[0.5, 1]]}, {"a.mp4": 3}, {}]
)
def test_what_is_no_list_of_shots_is_refused(wrong, tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(wrong))
    with pytest.raises(SourceError, match="is no list of shots"):
        ShotFrames().with_aux({"splits": (tmp_path / "x.pkl",)})
