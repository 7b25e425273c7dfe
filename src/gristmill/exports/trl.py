"""Parquet with the pictures in it, for TRL's ``SFTTrainer``.

Readers: https://github.com/huggingface/trl, ``trl/data_utils.py`` and ``trl/trainer/sft_trainer.py``. A part that is
a picture has no key ``image``: where it has one, be it null, it counts as filled, and ``images`` are one too many.
Rows without a picture have no column ``images`` and stand in a folder of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from gristmill.exports._conversation import Conversation, Kind, Medium
from gristmill.exports._dialect import Dialect, Laid, RowFile, command
from gristmill.exports._exporter import Exported, option
from gristmill.exports._media_folder import MediaFolder, is_safe
from gristmill.exports._row_groups import PICTURE, RowGroups
from gristmill.spec.body import bytes_of
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "Trl"]

_CONFIG = "trl.yaml"
_TEXT = {"dtype": "string", "_type": "Value"}
_MESSAGES = {"role": _TEXT, "content": {"feature": {"type": _TEXT, "text": _TEXT}, "_type": "List"}}
_FEATURES: Mapping[str, Json] = {
    "id": _TEXT,
    "images": {"feature": {"_type": "Image"}, "_type": "List"},
    "messages": {"feature": _MESSAGES, "_type": "List"},
    "prompt": {"feature": _MESSAGES, "_type": "List"},
    "completion": {"feature": _MESSAGES, "_type": "List"},
}
_PART = pa.struct([pa.field("type", pa.string()), pa.field("text", pa.string())])
_TURNS = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.list_(_PART))]))
_TYPES = {"id": pa.string(), "images": pa.list_(PICTURE)}


@dataclass(frozen=True, kw_only=True)
class Trl(Dialect):
    """Parquet for TRL, with declared features."""

    writes = "images/NNNNN.parquet, text/NNNNN.parquet, trl.yaml"
    trainer: ClassVar[str] = "TRL"
    takes_video: ClassVar[bool] = False

    last_answer_only: bool = option(
        False, "Columns prompt and completion: the loss is on the last answer alone. Otherwise messages."
    )

    def file_name(self, dataset: Any, kinds: Sequence[Kind]) -> str:
        """See :class:`Dialect`."""
        return "images/*.parquet" if kinds else "text/*.parquet"

    def open_rows(self, path: Path, kinds: Sequence[Kind]) -> RowFile:
        """See :class:`Dialect`."""
        turns = ["prompt", "completion"] if self.last_answer_only else ["messages"]
        return _ParquetRows(path, ["id", *(["images"] if kinds else []), *turns])

    def media_paths(
        self, conversation: Conversation, shard: int, folder: MediaFolder, done: Exported
    ) -> list[str]:
        """Names of pictures beside their bytes; nothing is written."""
        return [
            medium.original
            if self.names == "original" and is_safe(medium.original)
            else f"{conversation.key}.{medium.part}"
            for medium in conversation.media
        ]

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """Pictures in order, and turns as lists of parts."""
        messages = [
            {
                "role": turn.role,
                "content": [
                    {"type": "image", "text": None}
                    if isinstance(part, Medium)
                    else {"type": "text", "text": part}
                    for part in turn.parts
                ],
            }
            for turn in conversation.turns
        ]
        row: dict[str, Json] = {"id": conversation.key}
        if conversation.media:
            row["images"] = [
                {"bytes": bytes_of(medium.body), "path": path}
                for medium, path in zip(conversation.media, paths, strict=True)
            ]
        if self.last_answer_only:
            return {**row, "prompt": messages[:-1], "completion": messages[-1:]}
        return {**row, "messages": messages}

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """Say what the command cannot say: no text is cut, as that would part pictures from their places."""
        return {_CONFIG: "max_length: null\n"}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return "\n".join(
            command(
                *("trl", "sft", "--config", laid.at(_CONFIG), "--model_name_or_path", "$MODEL"),
                *("--dataset_name", laid.root),
                *("--dataset_config", file.title, "--output_dir", f"output/{name}"),
            )
            for name, file in laid.names.items()
        )


class _ParquetRows(RowFile):
    """Rows of :class:`Trl` in Parquet."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._stream = path.open("wb")
        schema = pa.schema([pa.field(name, _TYPES.get(name, _TURNS)) for name in columns])
        compression = {f"{name}.list.element.role": "zstd" for name in columns if name not in _TYPES}
        compression |= {
            f"{name}.list.element.content.list.element.{field}": "zstd"
            for name in columns
            if name not in _TYPES
            for field in ("type", "text")
        }
        self._groups = RowGroups(
            self._stream,
            schema,
            {name: _FEATURES[name] for name in columns},
            compression={**compression, "id": "zstd", "images.list.element.bytes": "none"}
            if "images" in columns
            else {**compression, "id": "zstd"},
        )

    def add(self, row: Mapping[str, Json]) -> None:
        """See :class:`RowFile`."""
        size = sum(len(image["bytes"]) for image in row.get("images", ()))
        self._groups.add(dict(row), size + sum(map(_text_bytes, row.values())))

    def close(self) -> None:
        """See :class:`RowFile`."""
        self._groups.close()
        self._stream.close()


def _text_bytes(value: Json) -> int:
    """Size of the texts of turns, about."""
    if not isinstance(value, list):
        return 0
    return sum(len(part["text"] or "") for turn in value for part in turn.get("content", ()))


EXPORTER = Trl()
