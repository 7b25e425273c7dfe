"""MDS, the shards of MosaicML's ``streaming``.

A shard is the number of samples, uint32, where each begins and the last ends, uint32, the columns as JSON, and the
samples. A sample is the sizes of its values, uint32, and the values, columns in the order of their names. A list is a
zero, the number of its items, their sizes, all uint32, and the items. Numbers are little-endian.
Format: https://github.com/mosaicml/streaming, ``streaming/base/format/mds/writer.py`` and ``encodings.py``.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import ClassVar

from gristmill.exports._columns import Columns, Row
from gristmill.exports._exporter import FinishedShards, option
from gristmill.exports._row_store import RowStore
from gristmill.exports._unfit import Unfit
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "Mds"]

_SHARD_BYTES = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Mds(RowStore):
    """MosaicML's streaming: shards of 64 MiB with random access."""

    writes = "index.json, shard.NNNNN.mds"
    reads = "samples of pictures, text and at most one video"
    loses = "nothing; media have no names but those that json says"

    most_bytes: ClassVar[int] = (1 << 32) - (1 << 16)  # offsets in a shard are of 32 bits

    hashes: bool = option(False, "SHA-1 of each shard in the index, for streaming's validate_hash='sha1'.")

    def check(self, row: Row) -> None:
        """At most one video: there is no list of bytes."""
        super().check(row)
        if len(row.videos) > 1:
            raise Unfit(
                "several_videos",
                f"sample {row.key} has {len(row.videos)} videos, and MDS has no list of them",
            )

    def write(
        self, folder: Path, before: Sequence[Json], rows: Iterator[Row], columns: Columns
    ) -> Iterator[Json]:
        """Write shards of 64 MiB; one that is larger has one sample."""
        config = self._config(columns)
        head = json.dumps(config, sort_keys=True).encode()
        values = _values(columns)
        samples: list[list[bytes]] = []
        sizes: list[int] = []
        fixed = total = 8 + len(head)
        number = len(before)
        for row in rows:
            sample = _sample(row, values)
            size = sum(map(len, sample))
            if samples and total + size + 4 > _SHARD_BYTES:
                yield self._shard_file(folder, number, config, head, samples, sizes)
                samples, sizes, total, number = [], [], fixed, number + 1
            samples.append(sample)
            sizes.append(size)
            total += size + 4
        if samples:
            yield self._shard_file(folder, number, config, head, samples, sizes)

    def reading(self, out: str) -> str:
        """See :class:`RowStore`."""
        place = f"remote={out!r}, local='mds-cache'" if "://" in out else f"local={out!r}"
        return f"from streaming import StreamingDataset\ndataset = StreamingDataset({place}, batch_size=32)"

    def finish(self, folder: Path, files: Sequence[Json], columns: Columns, dataset: FinishedShards) -> None:
        """Write ``index.json``."""
        (folder / "index.json").write_text(json.dumps({"version": 2, "shards": list(files)}, sort_keys=True))

    def _config(self, columns: Columns) -> dict[str, Json]:
        encodings = _encodings(columns)
        return {
            "version": 2,
            "format": "mds",
            "compression": None,
            "hashes": ["sha1"] if self.hashes else [],
            "size_limit": _SHARD_BYTES,
            "column_names": [*encodings],
            "column_encodings": [*encodings.values()],
            "column_sizes": [None] * len(encodings),
        }

    def _shard_file(
        self,
        folder: Path,
        number: int,
        config: Mapping[str, Json],
        head: bytes,
        samples: Sequence[Sequence[bytes]],
        sizes: Sequence[int],
    ) -> Json:
        count = len(samples)
        offsets = accumulate(sizes, initial=4 + 4 * (count + 1) + len(head))
        start = struct.pack(f"<{count + 2}I", count, *offsets)
        path = folder / f"shard.{number:05d}.mds"
        with path.open("wb") as stream:
            stream.writelines(chain((start, head), chain.from_iterable(samples)))
            size = stream.tell()
        digests = {}
        if self.hashes:
            with path.open("rb") as stream:
                digests["sha1"] = hashlib.file_digest(stream, "sha1").hexdigest()
        raw = {"basename": path.name, "bytes": size, "hashes": digests}
        return {**config, "raw_data": raw, "zip_data": None, "samples": count}


def _encodings(columns: Columns) -> dict[str, str]:
    """The encoding of each column, by name, in the order of names. ``jpeg`` and ``png`` are both read by Pillow."""
    picture = "png" if columns.picture_endings == {"png"} else "jpeg"
    known = {"key": "str", "caption": "str", "image": picture, "images": f"list[{picture}]", "json": "json"}
    return {name: known.get(name, "bytes") for name in sorted(_values(columns))}


def _values(columns: Columns) -> list[str]:
    """Columns in the order of names; of videos there is one at most, and no bytes where there is none."""
    return sorted("video" if name == "videos" else name for name in columns.names)


def _sample(row: Row, columns: Sequence[str]) -> list[bytes]:
    """The pieces of a sample."""
    pieces: list[bytes] = []
    sizes: list[int] = []
    for name in columns:
        if name == "images":
            images = [body for _, body in row.images]
            value = [struct.pack(f"<{len(images) + 2}I", 0, len(images), *map(len, images)), *images]
        elif name == "image":
            value = [row.images[0][1]]
        elif name == "video":
            value = [row.videos[0][1] if row.videos else b""]
        elif name == "json":
            value = [row.json]
        else:
            value = [(row.key if name == "key" else row.caption).encode()]
        sizes.append(sum(map(len, value)))
        pieces += value
    return [struct.pack(f"<{len(sizes)}I", *sizes), *pieces]


EXPORTER = Mds()
