"""Rows as Arrow columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from gristmill.exports._columns import Columns, Row

__all__ = ["row_batch", "row_schema", "row_values"]


def row_schema(columns: Columns, medium: pa.DataType) -> pa.Schema:
    """The Arrow schema of rows.

    Args:
        columns: That they have.
        medium: Type of one picture or video.
    """
    types = {"image": medium, "video": medium, "images": pa.list_(medium), "videos": pa.list_(medium)}
    return pa.schema([pa.field(name, types.get(name, pa.string())) for name in columns.names])


def row_values(row: Row, names: Iterable[str]) -> dict[str, Any]:
    """A value for each column."""
    values: dict[str, Any] = {"key": row.key, "caption": row.caption, "json": row.json.decode()}
    for kind, media in (("image", row.images), ("video", row.videos)):
        bodies = [body for _, body in media]
        values[kind], values[f"{kind}s"] = bodies[0] if bodies else None, bodies
    return {name: values[name] for name in names}


def row_batch(rows: Sequence[Row], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as one record batch."""
    return pa.RecordBatch.from_pylist([row_values(row, schema.names) for row in rows], schema=schema)
