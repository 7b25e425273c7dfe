"""``wids-meta.json``: the list of shards that wids, and VILA's copy of it, open a dataset by.

Format: https://github.com/webdataset/webdataset, ``wids_index.py``. Readers of both look at ``wids_version``
and ``shardlist`` only, and take URLs as relative to the folder of this file; ``__kind__`` is the upstream's.
VILA cuts names at their last dot, so with it a sample may have no part with a dot in its name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from gristmill.exports._exporter import Exported, Exporter, FinishedShards
from gristmill.exports._in_place import said_of_keys, tar_shards
from gristmill.shards.shape import Shape
from gristmill.storage.files import write_whole
from gristmill.storage.inside import open_regular

__all__ = ["EXPORTER", "WIDS_NAME", "unfit_for_coyo_wds", "wids_index"]

WIDS_NAME = "wids-meta.json"
"""VILA looks for this name in the dataset's folder."""


def wids_index(name: str, shards: Iterable[tuple[str, int, int, str]]) -> bytes:
    """The bytes of the index.

    Args:
        name: Of the dataset.
        shards: File name relative to the index, number of samples, size in bytes, MD5 in hex; in order.
    """
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": name,
        "shardlist": [
            {"url": url, "nsamples": samples, "filesize": size_bytes, "md5sum": md5}
            for url, samples, size_bytes, md5 in shards
        ],
    }
    return orjson.dumps(index, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


_OF_COYO_WDS = frozenset({"jpg", "png", "webp"})


def unfit_for_coyo_wds(shape: Shape) -> str:
    """Why VILA's loader type ``coyo-wds`` would stop at samples of this shape, as a clause; empty if it would not."""
    if shape.positions:
        return "their pictures are named by position, and it cuts names at the last dot"
    if shape.sets is None or any(len(one & _OF_COYO_WDS) != 1 for one in shape.sets):
        return "not each has one picture that is JPEG, PNG or WebP"
    if any("txt" not in one for one in shape.sets):
        return "not each has a caption in a .txt"
    return ""


@dataclass(frozen=True, kw_only=True)
class WebdatasetIndex(Exporter):
    """An index of the shards, which stay where they are."""

    writes = "wids-meta.json"
    reads = "any samples"
    loses = "nothing"

    def export(self, dataset: FinishedShards, out: Path) -> Iterator[Exported]:
        """Write the index into ``out``, the shards' own folder or another; always anew."""
        done, entries = Exported(notes=said_of_keys(dataset)), []
        for shard in tar_shards(dataset):
            with open_regular(shard.path) as stream:
                md5 = hashlib.file_digest(stream, "md5").hexdigest()
            url = os.path.relpath(shard.path.resolve(), out.resolve())
            entries.append((url, shard.samples, shard.size_bytes, md5))
            done.shards, done.samples = done.shards + 1, done.samples + shard.samples
            yield done
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / WIDS_NAME, wids_index(dataset.name, entries))
        if why := unfit_for_coyo_wds(dataset.shape()):
            done.notes.append(f"wids reads these samples; VILA's loader type coyo-wds stops at them: {why}.")
        yield done


EXPORTER = WebdatasetIndex()
