"""Names the files of a dataset. Names of intermediate ones carry the task's id, so that none is written over."""

from __future__ import annotations

from pathlib import Path

from gristmill.ledger.at_work import LEASES
from gristmill.ledger.ledger import RECORDS, STATE
from gristmill.spec.errors import DamagedOutput
from gristmill.spec.task import ShardInfo, Task
from gristmill.storage.store import Store

__all__ = [
    "CARD",
    "CRAWLED",
    "DECISIONS",
    "DESCRIBED",
    "FATES",
    "HOSTS",
    "INTERMEDIATE",
    "KEPT",
    "LEASES",
    "LISTS",
    "MADE",
    "METADATA_FILES",
    "PARTS",
    "REFERENCES",
    "SCATTERED",
    "SHARDS",
    "SOURCES",
    "UNREADABLE",
    "bodies_beside",
    "check_place",
    "decision",
    "fates_beside",
    "fates_of",
    "first_index",
    "index",
    "part",
    "references",
    "scattered",
    "scratch",
    "screened",
    "shard",
    "spool",
    "spool_beside",
    "stem",
    "unreadable",
]

CARD = "README.md"
METADATA_FILES = (CARD, "croissant.json", "dataset.json", "report.html")
"""Files beside the shards, written anew at the end of each run."""


SHARDS = "shards"
"""Finished shards."""
FATES = "fates"
"""One row for each upstream row and medium."""
PARTS = f"{STATE}/parts"
CRAWLED = f"{STATE}/crawled"
SCATTERED = f"{STATE}/scattered"
"""What each input of a shuffle gives to each shard."""
DECISIONS = f"{STATE}/decisions"
UNREADABLE = f"{STATE}/unreadable"
SOURCES = f"{STATE}/sources"
"""Annotation files fetched from upstream."""
LISTS = f"{STATE}/lists"
"""Lists that were fetched, or came through a pipe, on this machine."""
KEPT = ".kept"
"""In ``DIR/sources``: what was fetched one by one and is to stay."""
HOSTS = f"{STATE}/hosts"
"""Locks on the connections to hosts that allow but a few, and until when sites are left alone.

A folder in a folder of it holds what was fetched of one page so far.
"""
DESCRIBED = f"{STATE}/described"
"""Digest of the manifest, written when all metadata files of it are there."""
REFERENCES = "references"
"""The folder of an index-only mixture's references to samples, a file for each shard."""
MADE = (SHARDS, FATES, REFERENCES)
"""Folders of what a run makes for people and trainers."""
INTERMEDIATE = (PARTS, CRAWLED, SCATTERED, DECISIONS, RECORDS, UNREADABLE)
"""Folders that only Gristmill reads."""


def unreadable(digest: str) -> str:
    """A file which says that the annotation file of this digest is there and cannot be read."""
    return f"{UNREADABLE}/{digest}"


def part(task: Task, number: int) -> str:
    """Chosen rows, for one crawl task."""
    return f"{PARTS}/{task.number[1]:05d}-{number:05d}-{task.id}.parquet"


def index(task: Task) -> str:
    """Samples of one crawl task, in order."""
    return f"{CRAWLED}/{_place(task)}.index.parquet"


def first_index(index: ShardInfo) -> str:
    """The index that the crawl task itself wrote, of one that was screened."""
    return f"{CRAWLED}/{stem(index.path)}.index.parquet"


def screened(index: ShardInfo, task: Task) -> str:
    """Samples of one crawl task after a screen; their media lie in the same spool."""
    return f"{CRAWLED}/{stem(index.path)}.{task.id}.index.parquet"


def decision(task: Task, suffix: str) -> str:
    """Say what statistics decided; the keys that tasks were compared by."""
    return f"{DECISIONS}/{task.stage}-{_place(task)}{suffix}"


def scratch(task: Task) -> str:
    """A folder that lasts no longer than a task."""
    return f"{STATE}/scratch/{task.id}"


def fates_beside(index: ShardInfo) -> str:
    """The fates of the crawl task that wrote an index."""
    return f"{FATES}/samples-{stem(index.path)}.parquet"


def spool(task: Task) -> str:
    """Media of one crawl task, in the order they came."""
    return f"{CRAWLED}/{_place(task)}.spool"


def spool_beside(index: ShardInfo) -> str:
    """Say where the media of an index lie, also of one that was screened."""
    return f"{CRAWLED}/{stem(index.path)}.spool"


def scattered(task: Task) -> str:
    """The rows that one input of a shuffle gives to each shard, by their places."""
    return f"{SCATTERED}/{_place(task)}.rows"


def bodies_beside(rows: str) -> str:
    """Say where the bodies lie that were copied for a file of rows."""
    return f"{rows.removesuffix('.rows')}.bodies"


def fates_of(task: Task) -> str:
    """The fates that one task gave."""
    return f"{FATES}/{task.stage}-{_place(task)}.parquet"


def shard(number: int, suffix: str) -> str:
    """A finished shard or its neighbour."""
    return f"{SHARDS}/{number:05d}{suffix}"


def references(number: int) -> str:
    """Say where the samples lie that a shard of an index-only mixture would hold."""
    return f"{REFERENCES}/{number:05d}.parquet"


def check_place(store: Store, *, made: bool = True) -> None:
    """Look through a dataset's place before it is worked on: a folder may be a stranger's.

    Args:
        store: Where the dataset lies.
        made: Also through the shards and fates.

    Raises:
        DamagedOutput: It holds a link, a FIFO or the like where files of a dataset lie.
        OSError: As the system says.
    """
    for path, kind in store.irregular(STATE, *(MADE if made else ())):
        raise DamagedOutput(
            f"{store}/{path} is {kind}, and a dataset's folder holds regular files alone: nothing in it was read or "
            "changed. Put there what it stands for, or remove it."
        )


def stem(path: str | Path) -> str:
    """Say what an index, the spool beside it and a screened index have in common."""
    return Path(path).name.partition(".")[0]


def _place(task: Task) -> str:
    round_, position, part = task.number
    suffix = f"-r{round_}" if round_ else ""
    return f"{position:05d}-{part:05d}{suffix}-{task.id}"
