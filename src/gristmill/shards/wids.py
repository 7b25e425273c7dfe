"""``wids-meta.json``: the list of shards that wids, and VILA's copy of it, open a dataset by.

Format: https://github.com/webdataset/webdataset, ``wids_index.py``. Readers of both look at ``wids_version``
and ``shardlist`` only, and take URLs as relative to the folder of this file; ``__kind__`` is the upstream's.
VILA cuts names at their last dot, so with it a sample may have no part with a dot in its name.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

__all__ = ["WIDS_NAME", "wids_index"]

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
