"""``wids-meta.json``: the list of shards that wids, and VILA's copy of it, open a dataset by.

Format: https://github.com/webdataset/webdataset, ``wids_index.py``. Readers of both look at ``wids_version``
and ``shardlist`` only, and take URLs as relative to the folder of this file; ``__kind__`` is the upstream's. wids
(0.1.11, ``wids_dl.py``) fetches ``s3://`` by ``aws s3 cp``, ``gs://`` by ``gsutil cp``, and knows no other store.
VILA cuts names at their last dot, so with it a sample may have no part with a dot in its name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import orjson

from gristmill.exports._exporter import Exported, Exporter, FinishedShards
from gristmill.exports._in_place import copying, said_of_keys, whole_shards
from gristmill.shards.shape import Shape
from gristmill.spec.errors import UsageError
from gristmill.storage.inside import open_regular
from gristmill.storage.store import Place, Store, StoredFile, store_at

__all__ = ["EXPORTER", "WIDS_NAME", "unfit_for_coyo_wds", "wids_index"]

WIDS_NAME = "wids-meta.json"
"""VILA looks for this name in the dataset's folder."""


_FETCHED_BY = {"s3": "aws s3 cp", "gs": "gsutil cp"}


def wids_index(name: str, shards: Iterable[tuple[str, int, int, str | None]]) -> bytes:
    """The bytes of the index.

    Args:
        name: Of the dataset.
        shards: File name relative to the index, or address; number of samples, size in bytes, MD5 in hex, if it is
            known; in order.
    """
    index = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": name,
        "shardlist": [
            {"url": url, "nsamples": samples, "filesize": size_bytes, **({"md5sum": md5} if md5 else {})}
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
    to_stores: ClassVar[bool] = True

    def export(self, dataset: FinishedShards, out: Place) -> Iterator[Exported]:
        """Write the index into ``out``, the shards' own folder or another; always anew.

        Raises:
            UsageError: The shards are in a store that wids cannot read.
        """
        done, entries = Exported(notes=said_of_keys(dataset)), []
        ways: dict[str, None] = {}
        for file, samples, size_bytes in whole_shards(dataset):
            if file.store.local is None:
                ways[_fetched_by(file)] = None
            entries.append((*_named(file, out), samples, size_bytes))
            done.shards, done.samples = done.shards + 1, done.samples + samples
            yield done
        done.notes += [f"wids fetches these shards by `{way}`, which trainers must have." for way in ways]
        shards = ((url, samples, size_bytes, md5) for url, md5, samples, size_bytes in entries)
        store_at(out).put(WIDS_NAME, wids_index(dataset.name, shards))
        if why := unfit_for_coyo_wds(dataset.shape()):
            done.notes.append(f"wids reads these samples; VILA's loader type coyo-wds stops at them: {why}.")
        yield done


def _named(file: StoredFile, out: Place) -> tuple[str, str | None]:
    """Name of a shard in the index, and its MD5; of one in an object store none: all of it would be fetched."""
    if (folder := file.store.local) is None:
        return str(file), None
    if isinstance(out, Store):
        raise UsageError(
            f"{file.store} is on this machine: its index is for who reads it here. Name a folder with --out."
        )
    path = folder / file.name
    with open_regular(path) as stream:
        md5 = hashlib.file_digest(stream, "md5").hexdigest()
    return os.path.relpath(path.resolve(), out.resolve()), md5


def _fetched_by(file: StoredFile) -> str:
    """The command by which wids fetches a shard.

    Raises:
        UsageError: It has none.
    """
    scheme = str(file).partition("://")[0]
    if scheme not in _FETCHED_BY:
        raise UsageError(
            f"{file.store}: wids reads shards in s3:// and gs:// alone. Copy them first: {copying(file.store)}"
        )
    return _FETCHED_BY[scheme]


EXPORTER = WebdatasetIndex()
