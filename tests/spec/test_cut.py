import pytest

from gristmill.shards.samples import decode_sample, encode_sample
from gristmill.spec.cut import Cut
from gristmill.spec.locator import Frames, Video
from gristmill.spec.sample import MediaRef, Sample


@pytest.mark.parametrize(
    "ends",
    [
        {},
        {"start_s": 1.0},
        {"first_frame": 1},
        {"start_s": 2.0, "end_s": 2.0},
        {"start_s": -1.0, "end_s": 2.0},
        {"start_s": 0.0, "end_s": float("inf")},
        {"start_s": float("nan"), "end_s": 1.0},
        {"first_frame": 3, "last_frame": 2},
        {"first_frame": -1, "last_frame": 2},
        {"start_s": 0.0, "end_s": 1.0, "first_frame": 0, "last_frame": 1},
    ],
)
def test_no_cut(ends):
    with pytest.raises(ValueError, match=r"cut|piece"):
        Cut(**ends)


@pytest.mark.parametrize("cut", [Cut(start_s=0, end_s=2.5), Cut(first_frame=0, last_frame=0)])
@pytest.mark.parametrize(
    "at", [Video("videos", "-_x", "https://example.org/-_x"), Frames("frames", "v_1-Scene-001")]
)
def test_a_sample_with_a_piece_of_a_video_comes_back_as_it_was(cut, at):
    sample = Sample(key="a", media={"mp4": MediaRef(kind="video", at=at, cut=cut)})

    assert decode_sample(encode_sample(sample)) == sample
