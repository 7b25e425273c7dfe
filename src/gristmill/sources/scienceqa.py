"""ScienceQA: the pictures of its problems, three zips (train, val, test) that are had by hand.

A picture is ``SPLIT/ID/image.png`` in the archives. Records that LLaVA's converter made name it ``ID/image.png``;
ids are unique over the splits, so that is the path here, whatever folder stands in front of it. Whoever has the
problems as Parquet has the pictures within and does not need these.
"""

from __future__ import annotations

from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

_HOST = "https://scienceqa.s3.us-west-1.amazonaws.com/images"

SOURCE = Source(
    key="scienceqa",
    role="media",
    title="ScienceQA pictures",
    format="archives",
    by_hand=(
        f"Fetch {_HOST}/train.zip, and val.zip and test.zip beside it where their problems are wanted: the size of "
        "none is published, so nothing fetches them unseen."
    ),
    patterns=("train.zip", "val.zip", "test.zip", "*.zip"),
    unless="*.parquet",
    layouts=(
        MemberLayout(
            name="archive",
            member=r"(?:train|val|test)/(\d+/[^/]+\.png)",
            path=r"\1",
            example="train/1/image.png",
        ),
        MemberLayout(
            name="tree",
            member=r".*/(?:train|val|test)/(\d+/[^/]+\.png)",
            path=r"\1",
            example="images/train/1/image.png",
        ),
        MemberLayout(name="folders", member=r"\d+/[^/]+\.png", example="1/image.png"),
    ),
    license="cc-by-nc-sa-4.0",
    terms="CC BY-NC-SA 4.0 as its authors say; the copy on the hub says cc-by-sa-4.0",
    address=f"{_HOST}/train.zip",
    files=3,
    size_bytes=650_000_000,
)
