"""Interleaved documents as Parquet, in the columns that users of OBELICS know.

``images`` and ``texts`` are lists of the same length, in reading order; where one holds something, the other
holds null. ``metadata`` is a JSON list of that length (facts of each picture, null for texts),
``general_metadata`` a JSON object about the document. Pictures are structs ``{bytes, path}`` and the schema
carries their type for Hugging Face's ``datasets``. Columns: https://huggingface.co/datasets/HuggingFaceM4/OBELICS
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from gristmill.exports._exporter import Exported, FinishedShards, FittingExporter
from gristmill.exports._row_groups import PICTURE, RowGroups
from gristmill.exports._unfit import Unfit
from gristmill.exports._writing import check_folder, shard_samples, written
from gristmill.shards.footers import read_footer
from gristmill.shards.lossless import dumps, utf8
from gristmill.shards.not_finite import put_back
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo
from gristmill.storage.store import Place, Store, store_at

__all__ = ["EXPORTER", "InterleavedParquet"]

_ROLES = frozenset({"caption", "document"})
_FEATURES = {
    "images": {"feature": {"_type": "Image"}, "_type": "List"},
    "metadata": {"dtype": "string", "_type": "Value"},
    "general_metadata": {"dtype": "string", "_type": "Value"},
    "texts": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
}
_MADE_OF = b"gristmill.made_of"

_SCHEMA = pa.schema(
    [
        pa.field("images", pa.list_(PICTURE)),
        pa.field("metadata", pa.string()),
        pa.field("general_metadata", pa.string()),
        pa.field("texts", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class InterleavedParquet(FittingExporter):
    """Lists of texts and images, as in OBELICS."""

    writes = "NNNNN.parquet, one a shard"
    reads = "documents and captions"
    loses = "who speaks, so that conversations do not fit"
    to_stores: ClassVar[bool] = True

    def export(self, dataset: FinishedShards, out: Place) -> Iterator[Exported]:
        """Write a file for each shard."""
        names = [f"{number:05d}.parquet" for number in range(len(dataset.shards))]
        check_folder(out, names, "it would be read as one dataset with these")
        files, done = store_at(out), Exported(form="interleaved")
        for name, shard in zip(names, dataset.shards, strict=True):
            stamp = json.dumps({"shard": shard.digest, "leave_out": self.leave_out})
            if (size := files.size(name)) is not None:
                found, count = _made_of(files, name, size)
                if found != stamp:
                    raise UsageError(
                        f"{files}/{name} was made of another dataset or with other options. Name an empty "
                        "folder with --out."
                    )
            else:
                count = self._write((files, name), stamp, dataset.folder, shard, done)
            done.shards += 1
            done.samples += count
            done.left_out += shard.samples - count
            yield done

    def _write(
        self, file: tuple[Store, str], stamp: str, folder: Place, shard: ShardInfo, done: Exported
    ) -> int:
        with written(*file) as stream, _Writer(stream, stamp) as writer:
            for sample in shard_samples(folder, shard):
                try:
                    writer.add_document(_row(sample.key, put_back(sample.parts["json"]), sample.parts))
                except Unfit as err:
                    if not self.leave_out:
                        raise UsageError(
                            f"{folder}/{shard.path}: {err}. Leave such samples out, counted, with --leave-out."
                        ) from err
                    done.reasons[err.kind] += 1
        return writer.count


def _row(key: str, record: Mapping[str, Json], parts: Mapping[str, bytes]) -> dict[str, Any]:
    """One row: a document, or a caption as a document of one picture and one text.

    Args:
        key: Of the sample.
        record: Its ``json`` part.
        parts: As they lie in the shard.

    Raises:
        Unfit: It is a conversation, or shows a picture that is not there.
    """
    row: dict[str, list[Any]] = {"images": [], "metadata": [], "texts": []}
    for piece in _pieces(key, record, parts):
        if "text" in piece:
            picture, facts, text = None, None, utf8(piece["text"]).decode()
        else:
            name = piece["media"]
            if name not in parts:
                raise Unfit("no_picture", f"sample {key} shows {name}, which is not in the shard")
            picture = {"bytes": parts[name], "path": f"{key}.{name}"}
            facts, text = (record.get("media") or {name: _flat_facts(record)}).get(name), None
        row["images"].append(picture)
        row["metadata"].append(facts)
        row["texts"].append(text)
    general = {name: record[name] for name in ("key", "origin", "upstream") if name in record}
    return {
        "images": row["images"],
        "metadata": dumps(row["metadata"]).decode(),
        "general_metadata": dumps({"url": (record.get("upstream") or {}).get("url"), **general}).decode(),
        "texts": row["texts"],
    }


def _pieces(key: str, record: Mapping[str, Json], parts: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Texts and media in reading order."""
    turns = record.get("turns")
    if turns is None:
        names = [name for name in parts if name not in {"txt", "json"}]
        texts = [{"text": parts["txt"].decode()}] if parts.get("txt") else []
        return [*({"media": name} for name in names), *texts]
    roles = {turn["role"] for turn in turns}
    if not roles <= _ROLES:
        raise Unfit(
            "conversation",
            f"sample {key} has turns of {', '.join(sorted(roles))}; who speaks would be lost (--to vila keeps it)",
        )
    return [piece for turn in turns for piece in turn["parts"]]


def _flat_facts(record: Mapping[str, Json]) -> dict[str, Json]:
    """Facts of a single picture, which stand flat in the ``json`` part."""
    names = ("url", "sha256", "md5", "bytes", "width", "height", "original_width", "original_height")
    return {name: record[name] for name in names if name in record}


class _Writer(RowGroups):
    """Writes rows of :func:`_row` to a stream; the footer is written when the block ends.

    Args:
        stream: Where to write; stays open.
        made_of: Kept in the file's schema; :func:`_made_of` finds it again.
    """

    def __init__(self, stream: BinaryIO, made_of: str) -> None:
        compression = {"images.list.element.bytes": "none", "metadata": "zstd", "general_metadata": "zstd"}
        super().__init__(stream, _SCHEMA, _FEATURES, metadata={_MADE_OF: made_of}, compression=compression)

    def add_document(self, row: dict[str, Any]) -> None:
        """Append a row of :func:`_row`."""
        size = len(row["metadata"]) + len(row["general_metadata"])
        size += sum(len(image["bytes"]) for image in row["images"] if image)
        self.add(row, size + sum(len(text) for text in row["texts"] if text))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the end; without the last rows if something went wrong."""
        self.close(whole=kind is None)


def _made_of(files: Store, name: str, size_bytes: int) -> tuple[str | None, int]:
    """Read what a file of :class:`_Writer` was made of, and its rows; None of any other file.

    Raises:
        OSError: As the system says.
    """
    try:
        footer = read_footer(name, size_bytes, lambda start, stop: files.read(name, start, stop - start))
        found = (footer.schema.to_arrow_schema().metadata or {}).get(_MADE_OF)
    except (SourceError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None, 0
    return (None if found is None else found.decode("utf-8", "replace")), footer.num_rows


EXPORTER = InterleavedParquet()
