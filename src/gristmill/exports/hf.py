"""Parquet with the media in it and a card, for Hugging Face's ``datasets`` and its hub.

The types are declared in the files and in the card, so that a picture of which the first rows have none is one.
Form: https://huggingface.co/docs/hub/datasets-cards, https://huggingface.co/docs/datasets/about_dataset_features
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.exports._arrow_rows import row_schema, row_values
from gristmill.exports._columns import Columns, Row
from gristmill.exports._exporter import FinishedShards
from gristmill.exports._row_groups import PICTURE, RowGroups
from gristmill.exports._row_store import RowStore
from gristmill.spec.sample import Json
from gristmill.storage.store import store_at

__all__ = ["EXPORTER", "HuggingFace"]

_FILE_BYTES = 512 << 20
_STILL_TRUE = ("How it was made", "Licence", "Known", "Citation")
"""Titles of the sections of a dataset's card that hold for the export too."""


@dataclass(frozen=True, kw_only=True)
class HuggingFace(RowStore):
    """Hugging Face's datasets and hub: Parquet and a card."""

    writes = "data/train-NNNNN.parquet, README.md"
    loses = "nothing"

    def write(
        self, folder: Path, before: Sequence[Json], rows: Iterator[Row], columns: Columns
    ) -> Iterator[Json]:
        """Write a file for each 512 MB of a shard."""
        (folder / "data").mkdir(exist_ok=True)
        schema = row_schema(columns, PICTURE)
        media = {name: "none" for name in _media_columns(columns)}
        number, row = len(before), next(rows, None)
        while row is not None:
            path = folder / "data" / f"train-{number:05d}.parquet"
            with path.open("wb") as stream:
                groups = RowGroups(
                    stream, schema, _features(columns), compression={"key": "zstd", "json": "zstd", **media}
                )
                size, whole = 0, False
                try:
                    while row is not None and size < _FILE_BYTES:
                        groups.add(_with_names(row, columns), row.size_bytes)
                        size += row.size_bytes
                        row = next(rows, None)
                    whole = True
                finally:
                    groups.close(whole=whole)
            yield {
                "path": f"data/{path.name}",
                "rows": groups.count,
                "bytes": size,
                "file_bytes": path.stat().st_size,
            }
            number += 1

    def reading(self, out: str) -> str:
        """See :class:`RowStore`."""
        return f"from datasets import load_dataset\ndataset = load_dataset({out!r}, split='train')"

    def finish(self, folder: Path, files: Sequence[Json], columns: Columns, dataset: FinishedShards) -> None:
        """Write the card: what the dataset's own says but for the columns and files."""
        features = [_yaml_feature(name) for name in columns.names]
        split = {
            "name": "train",
            "num_bytes": sum(file["bytes"] for file in files),
            "num_examples": sum(file["rows"] for file in files),
        }
        head, prose = _card_of(dataset)
        configs = [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}]
        lines = [
            *head,
            f"configs: {json.dumps(configs)}",
            "dataset_info:",
            "  features:",
            *(f"  - {json.dumps(feature)}" for feature in features),
            "  splits:",
            f"  - {json.dumps(split)}",
            f"  download_size: {sum(file['file_bytes'] for file in files)}",
            f"  dataset_size: {split['num_bytes']}",
        ]
        text = "---\n" + "\n".join(lines) + f"\n---\n\n{prose or f'# {dataset.name}'}\n"
        (folder / "README.md").write_text(text, encoding="utf-8")


def _media_columns(columns: Columns) -> Iterator[str]:
    for name in columns.names:
        if name in {"image", "video"}:
            yield f"{name}.bytes"
        elif name in {"images", "videos"}:
            yield f"{name}.list.element.bytes"


def _with_names(row: Row, columns: Columns) -> dict[str, Json]:
    """Values of a row whose media have the names that they would have in a folder."""
    values = row_values(row, columns.names)
    for kind, media in (("image", row.images), ("video", row.videos)):
        files = [{"bytes": body, "path": f"{row.key}.{name}"} for name, body in media]
        if kind in values:
            values[kind] = files[0]
        if f"{kind}s" in values:
            values[f"{kind}s"] = files
    return values


def _features(columns: Columns) -> Mapping[str, Json]:
    text: Json = {"dtype": "string", "_type": "Value"}
    known: dict[str, Json] = {"image": {"_type": "Image"}, "video": {"_type": "Video"}}
    known |= {f"{name}s": {"feature": one, "_type": "List"} for name, one in known.items()}
    return {name: known.get(name, text) for name in columns.names}


def _yaml_feature(name: str) -> Json:
    """A feature in the form of a card."""
    if name in {"images", "videos"}:
        return {"name": name, "list": name[:-1]}
    return {"name": name, "dtype": name if name in {"image", "video"} else "string"}


def _card_of(dataset: FinishedShards) -> tuple[list[str], str]:
    """Lines of the dataset's own card that hold for the export too, and so of its prose."""
    try:
        text = store_at(dataset.folder).read("README.md").decode()
    except FileNotFoundError:
        return [], ""
    _, head, prose = [*text.split("---\n", 2), "", ""][:3]
    kept = []
    for line in head.splitlines():
        if line.startswith("dataset_info:"):
            break
        if not line.startswith(("configs:", "- config_name", " ")):
            kept.append(line.replace('"webdataset"', '"parquet"'))
    opening, *sections = prose.strip().split("\n## ")
    still = [f"## {one}" for one in sections if one.startswith(_STILL_TRUE)]
    return kept, "\n\n".join(one.strip() for one in (opening, *still))


EXPORTER = HuggingFace()
