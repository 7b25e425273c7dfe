"""Chunks of Lightning's litData, in the layout that it has for rows since 0.2.76.

A chunk is the number of rows, uint32, one offset more, uint32, all the end of this head, an Arrow file with 256 rows
a record batch, its size, uint32, and eight bytes that tell the layout. In the older layout every row has the same
number of values, so that pictures of which rows have any number find no place. Numbers are little-endian.
Format: https://github.com/Lightning-AI/litData, ``src/litdata/streaming/writer.py`` (``_create_chunk``) and
``item_loader.py`` (``append_arrow_row_footer``).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gristmill.exports._arrow_rows import row_batch, row_schema
from gristmill.exports._columns import Columns, Row
from gristmill.exports._exporter import FinishedShards
from gristmill.exports._row_store import RowStore, batches
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "LitData"]

_CHUNK_BYTES = 1 << 26
_BATCH_ROWS = 256
_LAYOUT = b"LDARW01\0"


@dataclass(frozen=True, kw_only=True)
class LitData(RowStore):
    """Lightning's litData from 0.2.76: chunks of 64 MiB."""

    writes = "index.json, chunk-0-N.bin"
    loses = "nothing; media have no names but those that json says"

    def write(
        self, folder: Path, before: Sequence[Json], rows: Iterator[Row], columns: Columns
    ) -> Iterator[Json]:
        """Write chunks of 64 MiB; one that is larger has one row."""
        schema = row_schema(columns, pa.binary())
        for number, some in enumerate(batches(rows, _CHUNK_BYTES), len(before)):
            path = folder / f"chunk-0-{number}.bin"
            head = 4 + 4 * (len(some) + 1)
            with path.open("wb") as stream:
                stream.write(struct.pack(f"<{len(some) + 2}I", len(some), *[head] * (len(some) + 1)))
                with pa.ipc.new_file(pa.PythonFile(stream, "w"), schema) as arrow:
                    for start in range(0, len(some), _BATCH_ROWS):
                        arrow.write_batch(row_batch(some[start : start + _BATCH_ROWS], schema))
                size = stream.tell()
                stream.write(struct.pack("<I", size - head) + _LAYOUT)
                size = stream.tell()
            yield {"chunk_bytes": size, "chunk_size": len(some), "dim": None, "filename": path.name}

    def reading(self, out: str) -> str:
        """See :class:`RowStore`."""
        return f"from litdata import StreamingDataset\ndataset = StreamingDataset({out!r})"

    def finish(self, folder: Path, files: Sequence[Json], columns: Columns, dataset: FinishedShards) -> None:
        """Write ``index.json``."""
        kinds = {name: _KINDS.get(name, "str") for name in columns.names}
        leaf: Json = {"type": None, "context": None, "children_spec": []}
        spec = {
            "type": "builtins.dict",
            "context": json.dumps([*kinds]),
            "children_spec": [leaf] * len(kinds),
        }
        config = {
            "chunk_bytes": _CHUNK_BYTES,
            "chunk_size": None,
            "compression": None,
            "compression_batch_size": None,
            "compression_level": None,
            "data_format": [kind if isinstance(kind, str) else "json" for kind in kinds.values()],
            "data_spec": json.dumps([1, spec]),
            "encryption": None,
            "ipc_compression": None,
            "item_loader": "PyTreeLoader",
            "types": kinds,
        }
        index = {"chunks": list(files), "config": config, "updated_at": "0"}
        (folder / "index.json").write_text(json.dumps(index, sort_keys=True))


_LIST: Json = {"type": "list", "value": "bytes"}
_KINDS: dict[str, Json] = {"image": "bytes", "video": "bytes", "images": _LIST, "videos": _LIST}

EXPORTER = LitData()
