"""A recipe of clips in a file, its rows, and a folder of the videos that they are cut out of."""

import json
from pathlib import Path

from gristmill.testing.videos import MadeVideo, made_video

RECIPE = r"""
from gristmill.spec.cut import Cut
from gristmill.spec.locator import Video
from gristmill.spec.recipe import Expect, MemberLayout, Recipe, Source
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn
from gristmill.steps.clip import Clip
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


def parse(row):
    first, last = row["span"]
    ref = MediaRef(kind="video", at=Video("videos", row["video"]), cut=Cut(first_frame=first, last_frame=last))
    asked = Turn(role="user", parts=(Show(media="video"), Text(text="What happens?")))
    answer = Turn(role="assistant", parts=(Text(text=row["text"]),))
    return Sample(key="", media={"video": ref}, turns=(asked, answer))


CONTAINERS = MemberLayout(name="videos", member=r"([^/]+\.(?:mp4|mkv))", path=r"\1")
RECIPE = Recipe(
    name="clipped",
    version="2026.12.1",
    title="Clips",
    description="Made up.",
    homepage="http://a.test",
    license="CC0-1.0",
    citation="",
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(key="rows", by_hand="Made up.", format="jsonl", license="CC0-1.0", access="open"),
        Source(
            key="videos",
            role="media",
            format="archives",
            by_hand="Made up.",
            stems=True,
            layouts=(CONTAINERS,),
            license="CC0-1.0",
            access="open",
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at"}),
    key="clipped_{row:06d}",
    steps=(TakeRows(unique="name", unique_part="(.*)_[0-9]+"), Clip(), Pack(shard_samples=10)),
    expect=Expect(kept_share=0.1, media_per_row=1, stored_bytes=1000),
)
"""


def write_clipped(folder: Path, videos: int = 2, clips: int = 4, frames: int = 60) -> list[str]:
    """Write all of it; of each video so many clips are wanted, in turn. Returns the words of a run's command."""
    (folder / "clipped.py").write_text(RECIPE)
    (folder / "videos").mkdir()
    for n in range(videos):
        (folder / "videos" / f"-v{n}.mp4").write_bytes(made_video(MadeVideo(frames=frames + n, b_frames=1)))
    rows = [
        {"name": f"-v{n}_{clip}", "video": f"-v{n}", "span": [clip, clip + 19], "text": f"{n} {clip}"}
        for clip in range(clips)
        for n in range(videos)
    ]
    rows.insert(1, {"name": "gone_0", "video": "gone", "span": [0, 19], "text": "gone"})
    rows.append({"name": "gone_1", "video": "gone", "span": [5, 24], "text": "gone, too"})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = (f"rows={folder / 'rows.jsonl'}", f"videos={folder / 'videos'}")
    return ["run", str(folder / "clipped.py"), *(word for one in sources for word in ("--source", one))]
