"""Writes rows that hold pictures to Parquet, in row groups of bounded size, typed for Hugging Face's ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.spec.sample import Json

__all__ = ["PICTURE", "RowGroups"]

_GROUP_BYTES = 32 << 20

PICTURE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""A picture in a column, as the feature ``Image`` stores it."""


class RowGroups:
    """Writes rows to a stream in row groups that close at 32 MiB of pictures and text.

    Args:
        stream: Where to write; stays open.
        schema: The columns.
        features: Their types for ``datasets``, by name.
        metadata: Further entries of the file's schema.
        compression: By column, where it is not the library's default. Pictures do not compress.

    Attributes:
        count: Rows so far.
    """

    def __init__(
        self,
        stream: BinaryIO,
        schema: pa.Schema,
        features: Mapping[str, Json],
        *,
        metadata: Mapping[bytes, str] | None = None,
        compression: str | Mapping[str, str] = "snappy",
    ) -> None:
        self.count = 0
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        described: dict[bytes | str, str] = {"huggingface": json.dumps({"info": {"features": features}})}
        self._schema = schema.with_metadata(described | dict(metadata or {}))
        # a dictionary of pictures would only hold them twice
        self._writer = pq.ParquetWriter(
            stream, self._schema, compression=compression, use_dictionary=False, write_statistics=False
        )

    def add(self, row: dict[str, Any], size_bytes: int) -> None:
        """Append a row.

        Args:
            row: A value for each column.
            size_bytes: Of what it holds, about.
        """
        self._rows.append(row)
        self._bytes += size_bytes
        self.count += 1
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0

    def close(self, *, whole: bool = True) -> None:
        """Write the footer, and the last row group before it unless the rows are not ``whole``."""
        if whole and (self._rows or not self.count):
            self._flush()
        self._writer.close()
