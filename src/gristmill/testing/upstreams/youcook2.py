"""YouCook2 as VILA has it: a JSON array of conversations, the official list of segments, and a folder of videos.

The videos count their own frames, see :mod:`gristmill.testing.videos`. Of one the end is missing, and one is gone, as
of real ones; a clip lies there as its authors cut it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from gristmill.recipes._main_branch import VILA
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["LIST", "UPSTREAMS", "VIDEOS", "write_youcook2"]

LIST = "youcookii_annotations_trainval.json"
"""The official list, beside the repository's folder."""

VIDEOS = {
    "-demo_pan_0": ("training", "mp4", "libx264"),
    "_demo-rice1": ("training", "webm", "libvpx-vp9"),
    "demoSoup__2": ("validation", "mkv", "libx264"),
    "demo_cut_-3": ("training", "mp4", "libx264"),
    "demo_gone_4": ("training", "", ""),
}
"""By their ids: the subset, the ending of their file, and how they are coded. One has no file."""

_RATE, _FRAMES = 12, 60
_SEGMENTS = ((0, 2), (1, 3), (3, 5))
_SENTENCES = ("slice the onion", "heat the oil in a pan", "slice the onion ")
_ASKED = ("What happens in the clip?\n<video>", "<video>\nSay what is done here.")
_MUXERS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}


def write_youcook2(folder: Path) -> None:
    """Write the repository's folder ``hub``, the list and the folder ``videos``.

    Args:
        folder: Of one's own.
    """
    from gristmill.testing.videos import MadeVideo, made_video

    for name in ("hub", "videos/training"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    database, records = {}, []
    for number, (video, (subset, ending, codec)) in enumerate(VIDEOS.items()):
        annotations = [
            {"segment": list(ends), "id": n, "sentence": _SENTENCES[n]} for n, ends in enumerate(_SEGMENTS)
        ]
        database[video] = {
            "duration": _FRAMES / _RATE,
            "subset": subset,
            "recipe_type": "101",
            "annotations": annotations,
            "video_url": f"https://www.youtube.com/watch?v={video}",
        }
        for one in annotations:
            said = [{"from": "human", "value": _ASKED[number % 2]}, {"from": "gpt", "value": one["sentence"]}]
            name = f"{video}_{one['id']}"
            records.append(
                {"id": name, "video": f"{name}.mp4", "frame_count": 1, "fps": 0.0, "conversations": said}
            )
        if not ending:
            continue
        kind = MadeVideo(
            frames=_FRAMES,
            rate=Fraction(_RATE),
            size_px=(160, 120),
            codec=codec,
            container=_MUXERS[ending],
            b_frames=2 if codec == "libx264" else 0,
            audio_s=None if ending == "mp4" else 0,
            kept=0.6 if "cut" in video else 1.0,
        )
        (folder / "videos" / "training" / f"{video}.{ending}").write_bytes(made_video(kind))
    gone = MadeVideo(frames=24, rate=Fraction(_RATE), size_px=(160, 120))
    (folder / "videos" / "demo_gone_4_1.mp4").write_bytes(made_video(gone))
    (folder / LIST).write_text(json.dumps({"database": database}))
    (folder / "hub" / "youcook_filtered_v3.json").write_text(json.dumps(records, indent=4))


@contextmanager
def _play(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_youcook2(folder)
    with FakeHub({VILA: folder / "hub"}, revision="main") as hub:
        yield hub.url


UPSTREAMS = {
    "youcook2": Upstream(
        play=_play,
        copies={"official": LIST, "videos": "videos"},
        exports=("vila", "llava"),
        extra="video",
        module="av",
    )
}
