"""Says where the videos are of recipes whose rows name them by their ids at YouTube."""

from __future__ import annotations

from gristmill.spec.cut import Cut
from gristmill.spec.locator import Video
from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Access, Source
from gristmill.spec.sample import MediaRef, Show, Text, Turn

__all__ = ["VIDEOS", "asked", "clip", "stem", "videos", "whole"]

VIDEOS = "videos"
"""Key of the source in which they are: one for all recipes, for an id means the same video everywhere.

What is named otherwise is not taken: in ``DIR/sources/videos`` archives of several datasets may lie.
"""

_PAGE = "https://www.youtube.com/watch?v={}"

_ENDINGS = "mp4|mkv|webm|avi|mov"

_BY_ID = r"(?:v_)?[\w-]{11}(?:_\d+)*"


def videos(
    *,
    folder: str,
    title: str,
    by_hand: str,
    license: str = "unknown",
    access: Access = "open",
    terms: str = "",
    address: str = "",
    files: int | None = None,
    size_bytes: int | None = None,
    names: str = _BY_ID,
) -> Source:
    """A source of videos, in archives or a folder, by their names without endings, whatever folders they lie in.

    Args:
        folder: In ``DIR/sources``, where a person puts them: those of one recipe are not those of another.
        title: What it holds, in a few words.
        by_hand: The sentence that tells a person where to get them.
        license, access, terms, address, files, size_bytes: See :class:`gristmill.spec.recipe.Source`.
        names: Regular expression of names without endings: whole videos by their ids, and pieces with numbers
            behind them. Archives in which nothing is named so are refused.
    """
    return Source(
        key=VIDEOS,
        folder=folder,
        role="media",
        title=title,
        format="archives",
        by_hand=by_hand,
        layouts=(MemberLayout(name="files", member=rf"(?:.*/)?((?:{names})\.(?:{_ENDINGS}))", path=r"\1"),),
        license=license,
        access=access,
        terms=terms,
        address=address,
        files=files,
        size_bytes=size_bytes,
    )


def stem(path: str) -> str:
    """The name of a file without its folders and the ending of a video."""
    name = path.rpartition("/")[2]
    front, _, ending = name.rpartition(".")
    return front if ending.lower() in _ENDINGS.split("|") else name


def whole(video: str, name: str = "") -> MediaRef:
    """All of a video.

    Args:
        video: Its id at YouTube.
        name: Of its file, without ending; the id if empty.
    """
    name = name or video
    return MediaRef(kind="video", at=Video(VIDEOS, name, _PAGE.format(video)), name=f"{name}.mp4")


def clip(video: str, start_s: float, end_s: float, name: str) -> MediaRef:
    """A piece of a video.

    Args:
        video: Its id at YouTube, and the name of its file without ending.
        start_s, end_s: Of the piece, seconds.
        name: Of the piece's file in published copies, without ending.

    Raises:
        ValueError: It ends before it begins.
    """
    return MediaRef(
        kind="video",
        at=Video(VIDEOS, video, _PAGE.format(video)),
        cut=Cut(start_s=start_s, end_s=end_s),
        name=f"{name}.mp4",
    )


def asked(media: str, question: str, answer: str) -> tuple[Turn, ...]:
    """The turns of a medium, a question about it and its answer."""
    return (
        Turn(role="user", parts=(Show(media=media), Text(text=question))),
        Turn(role="assistant", parts=(Text(text=answer),)),
    )
