"""Whether the columns of a Parquet file are of the types that are reckoned with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.spec.columns import column_of
from gristmill.spec.errors import SourceError
from gristmill.spec.recipe import Column, ColumnKind

__all__ = ["check_columns", "is_kind", "is_list", "only_nulls", "type_at", "types_of"]


def types_of(path: Path) -> dict[str, Any]:
    """The Arrow types of a Parquet file's columns, by name.

    Raises:
        OSError, pyarrow.ArrowInvalid: It is not readable.
    """
    return {field.name: field.type for field in pq.read_schema(path)}


def type_at(types: Mapping[str, Any], path: str) -> Any:
    """The type of what :func:`gristmill.spec.columns.value_at` finds under a path; None where there is nothing."""
    name = column_of(path, list(types))
    found = types.get(name)
    return _type_within(found, path[len(name) + 1 :].split(".") if name != path else [])


def _type_within(found: Any, parts: Sequence[str]) -> Any:
    if found is None or not parts:
        return found
    if pa.types.is_struct(found):
        place = found.get_field_index(parts[0])
        return _type_within(found.field(place).type, parts[1:]) if place >= 0 else None
    if not is_list(found):
        return None
    if parts[0].isdecimal():
        return _type_within(found.value_type, parts[1:])
    inner = _type_within(found.value_type, parts)
    return None if inner is None else pa.list_(inner)


def is_list(found: Any) -> bool:
    """Say whether values of an Arrow type are lists."""
    types = pa.types
    return bool(types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found))


def only_nulls(path: Path, name: str) -> bool:
    """Say whether a Parquet file has rows, and not one value in a column of theirs, as far as its footer tells.

    Raises:
        OSError, pyarrow.ArrowInvalid: It is not readable.
    """
    footer = pq.read_metadata(path)
    found = types_of(path).get(name)
    if not footer.num_rows or (found is not None and pa.types.is_null(found)):
        return bool(footer.num_rows)
    groups = map(footer.row_group, range(footer.num_row_groups))
    chunks = [chunk for g in groups for chunk in map(g.column, range(g.num_columns))]
    own = [chunk for chunk in chunks if chunk.path_in_schema == name]
    return bool(own) and all(c.is_stats_set and c.statistics.null_count == c.num_values for c in own)


def check_columns(path: Path, wanted: Sequence[Column]) -> None:
    """See that a Parquet file has the columns that a recipe reads, of types whose values it can read.

    Raises:
        SourceError: One is missing or of another type, which then every row is.
    """
    try:
        types = types_of(path)
    except (pa.ArrowInvalid, OSError):  # whoever reads its rows says what is wrong with it
        return
    faults = [fault for column in wanted if (fault := _fault(types, column))]
    if faults:
        missing = any(column.needed and type_at(types, column.name) is None for column in wanted)
        has = f" Its columns: {', '.join(types)}." if missing else ""
        raise SourceError(f"{path}: {', '.join(faults)}.{has}")


def _fault(types: Mapping[str, Any], column: Column) -> str | None:
    found = type_at(types, column.name)
    if found is None:
        return f"there is no column {column.name}" if column.needed else None
    if is_kind(found, column.kind) and not (column.needed and pa.types.is_null(found)):
        return None
    article = "an" if column.kind == "integer" else "a"
    return f"the column {column.name} is {found} where {article} {column.kind} is expected"


def is_kind(found: Any, kind: ColumnKind) -> bool:
    """Say whether values of an Arrow type are of this kind; a column of nothing but nulls is of every kind."""
    types = pa.types
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_null(found):
        return True
    if kind == "string or list of strings":
        return is_kind(found.value_type if is_list(found) else found, "string or binary")
    if kind == "integer":
        return bool(types.is_integer(found))
    if kind == "float":
        return bool(types.is_floating(found))
    if types.is_binary(found) or types.is_large_binary(found) or types.is_binary_view(found):
        return kind == "string or binary"
    return bool(types.is_string(found) or types.is_large_string(found) or types.is_string_view(found))
