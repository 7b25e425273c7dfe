"""What lies beside a crawled shard, as img2dataset's users know it: the rows attempted, and their statistics.

``00000.parquet`` holds one row for each sample that was attempted, failures too; ``00000_stats.json`` the sums.
Names and meanings are img2dataset's, https://github.com/rom1504/img2dataset, and one status more: ``dropped``, of a
row that neither failed to come nor to be a picture. The Parquet file is the same on every run, as the shard
is; the sums are, but for ``start_time``, ``end_time`` and ``duration``.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.shards.lossless import utf8
from gristmill.shards.samples import StoredSample
from gristmill.spec.reasons import NO_PICTURE, NO_VIDEO, Reason

__all__ = ["SIDECAR_SCHEMA", "Sidecars", "status_of"]

SIDECAR_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("url", pa.string()),
        ("caption", pa.string()),
        ("status", pa.string()),
        ("error_message", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("sha256", pa.string()),
        ("duration_s", pa.float64()),
        ("fps", pa.float64()),
        ("frames", pa.int64()),
    ]
)
"""Columns of ``00000.parquet``; those of videos, the last, are not img2dataset's.

Facts of a medium are null where a sample has none, or several.
"""

_GROUP_ROWS, _GROUP_BYTES = 8192, 16 << 20
_CHUNK_ROWS, _CHUNK_BYTES = 1024, 2 << 20
"""Of rows that are Python objects at once. 1,024 is the Parquet writer's own step: the file does not depend on it."""

_AFTER_THE_DOWNLOAD = (
    NO_PICTURE
    | NO_VIDEO
    | {
        Reason.EMPTY,
        Reason.TOO_SMALL,
        Reason.ASPECT,
        Reason.PHASH_MISMATCH,
        Reason.SIZE_MISMATCH,
    }
)
"""img2dataset's ``failed_to_resize``: the bytes came, but no picture was made of them."""


_OF_THE_ROW = {
    Reason.BAD_ROW,
    Reason.ROW_TOO_LONG,
    Reason.NO_SCORE,
    Reason.EMPTY_TEXT,
    Reason.EMPTY_QUESTION,
    Reason.EMPTY_ANSWER,
    Reason.TEXT_TOO_LONG,
    Reason.BAD_CHARACTERS,
    Reason.MEDIA_TOKEN,
    Reason.FEW_IMAGES,
    Reason.DUPLICATE_KEY,
    Reason.SAME_PICTURE,
    Reason.BENCHMARK_PICTURE,
    Reason.BENCHMARK_TEXT,
}
"""Nothing failed to come: it is the text, or the row, or it is there already."""


def status_of(reason: Reason | None) -> str:
    """img2dataset's word for a fate, ``success``, ``failed_to_download`` or ``failed_to_resize``; or ``dropped``."""
    if reason is None:
        return "success"
    if reason in _OF_THE_ROW:
        return "dropped"
    return "failed_to_resize" if reason in _AFTER_THE_DOWNLOAD else "failed_to_download"


class Sidecars:
    """Writes what was attempted for one shard, some rows at a time; holds few rows, and bounded bytes of them.

    Args:
        stream: Becomes ``00000.parquet``; stays open.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._chunks: list[pa.RecordBatch] = []
        self._rows_bytes = self._group_rows = self._group_bytes = 0
        self._fates: Counter[Reason | None] = Counter()
        self._began_at, self._ended_at = math.inf, -math.inf
        self._writer = pq.ParquetWriter(stream, SIDECAR_SCHEMA, compression="zstd")

    def add(
        self,
        key: str,
        reason: Reason | None,
        sample: StoredSample | None,
        asked: tuple[float, float] | None = None,
    ) -> None:
        """Take up one attempt, in the order of the rows.

        Args:
            key: The sample's.
            reason: Why it was not kept; None if it was.
            sample: What is known of it, if anything.
            asked: When its first medium was asked for and its last was had or given up, in Unix time.
        """
        self._fates[reason] += 1
        if asked is not None:
            self._began_at, self._ended_at = min(self._began_at, asked[0]), max(self._ended_at, asked[1])
        media = list(sample.media.values()) if sample else []
        known = media[0] if len(media) == 1 else {}
        url, caption = _text(known.get("url")), _text(sample.caption if sample else None)
        self._rows_bytes += len(url or "") + len(caption or "")
        self._rows.append(
            (
                key,
                url,
                caption,
                status_of(reason),
                reason and str(reason),
                known.get("width_px"),
                known.get("height_px"),
                known.get("original_width_px"),
                known.get("original_height_px"),
                known.get("sha256"),
                known.get("duration_s"),
                known.get("fps"),
                known.get("frames"),
            )
        )
        whole = self._group_rows + len(self._rows) == _GROUP_ROWS
        if whole or len(self._rows) == _CHUNK_ROWS or self._rows_bytes >= _CHUNK_BYTES:
            self._chunk()
        if whole or self._group_bytes >= _GROUP_BYTES:
            self._flush()

    def _chunk(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(values, f.type) for values, f in zip(columns, SIDECAR_SCHEMA, strict=True)]
        self._chunks.append(pa.RecordBatch.from_arrays(arrays, schema=SIDECAR_SCHEMA))
        self._group_rows += len(self._rows)
        self._group_bytes += self._rows_bytes
        self._rows.clear()
        self._rows_bytes = 0

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._chunks, SIDECAR_SCHEMA))
        self._chunks.clear()
        self._group_rows = self._group_bytes = 0

    def close(self) -> None:
        """Write what is left of ``00000.parquet``; once, after the last :meth:`add`."""
        if self._rows:
            self._chunk()
        if self._chunks:
            self._flush()
        self._writer.close()

    def stats(self) -> bytes:
        """The bytes of ``00000_stats.json``: ``status_dict`` counts by reason, successes included.

        Times are Unix time in seconds, null where nothing was asked for.
        """
        by_status: Counter[str] = Counter()
        for reason, count in self._fates.items():
            by_status[status_of(reason)] += count
        asked = self._began_at <= self._ended_at
        stats = {
            "count": self._fates.total(),
            "successes": by_status["success"],
            "failed_to_download": by_status["failed_to_download"],
            "failed_to_resize": by_status["failed_to_resize"],
            "dropped": by_status["dropped"],
            "duration": round(self._ended_at - self._began_at, 3) if asked else 0.0,
            "start_time": self._began_at if asked else None,
            "end_time": self._ended_at if asked else None,
            "status_dict": dict(sorted((str(r or "success"), count) for r, count in self._fates.items())),
        }
        return orjson.dumps(stats, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _text(text: str | None) -> str | None:
    """What Arrow can hold: UTF-8."""
    return text if text is None or text.isascii() else utf8(text).decode()
