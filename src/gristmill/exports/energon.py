"""Megatron Energon: its metadata beside the shards, and a metadataset with the weights of a mixture.

``.nv-meta`` holds ``.info.json`` (samples by shard), ``split.yaml``, ``dataset.yaml`` (what a sample is),
``index.sqlite`` (where samples and their parts lie) and ``index.uuid``. Beside each shard ``NNNNN.tar.idx`` says
where each sample begins and the last ends, uint64. The layout is that of 7.4.1, as ``energon prepare`` writes it.
Format: https://github.com/NVIDIA/Megatron-Energon, ``flavors/webdataset/prepare.py`` and ``indexing.py``, and
https://nvidia.github.io/Megatron-Energon/basic/metadataset.html
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gristmill.exports._exporter import Exported, Exporter, FinishedShards, option
from gristmill.exports._in_place import TarShard, give_name, said_of_keys, tar_shards
from gristmill.exports._unfit import PICTURE_ENDINGS
from gristmill.exports._whole import made_of, written_whole
from gristmill.ledger.features import shape_of
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.reading import PartShards
from gristmill.ledger.run_config import RunConfig
from gristmill.shards.shape import Shape
from gristmill.spec.errors import DamagedOutput, UsageError
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo, digest_of
from gristmill.storage.store import store_at

__all__ = ["EXPORTER", "Energon"]

_REVISION = 1
_META = ".nv-meta"
_VERSION = "7.4.1"
_MIXTURE = "mixture.yaml"
_BLOCK_BYTES = 512
_TABLES = """
CREATE TABLE samples (
    tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,
    byte_offset INTEGER, byte_size INTEGER
);
CREATE TABLE sample_parts (
    tar_file_id INTEGER, sample_index INTEGER, part_name TEXT,
    content_byte_offset INTEGER, content_byte_size INTEGER
);
"""
_INDEXES = """
CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);
CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset);
CREATE INDEX idx_sample_parts_full
    ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);
"""


@dataclass(frozen=True, kw_only=True)
class Energon(Exporter):
    """Megatron Energon: links to the shards and .nv-meta; of an index-only mixture a metadataset."""

    writes = "NNNNN.tar (links), NNNNN.tar.idx, .nv-meta/; mixture.yaml and a folder for each part"
    reads = "any samples"
    loses = "nothing"
    needs_all = "The index of all of it can be written when it is."

    val_shards: int = option(0, "So many of the last shards are the split val; the others are train.")

    def export(self, dataset: FinishedShards, out: Path) -> Iterator[Exported]:
        """Link the shards, and write the metadata."""
        top = out.resolve() / _MIXTURE if dataset.refers else out.resolve()
        done = Exported(form="mixture" if dataset.refers else "dataset", reader="Energon")
        yield from written_whole(
            out,
            made_of(self, dataset, _REVISION),
            write=lambda work: self._write(dataset, work, done),
            start=lambda _: f"energon preview {shlex.quote(str(top))}",
            keep=(_META,),
        )

    def _write(self, dataset: FinishedShards, folder: Path, done: Exported) -> Iterator[Exported]:
        folder.mkdir(exist_ok=True)
        if not dataset.refers:
            yield from self._webdataset(dataset, folder, done)
            return
        blend = []
        done.notes += said_of_keys(dataset)
        for part, taken in _parts(dataset, done):
            yield from self._write(part, folder / part.name, done)
            path = f"{part.name}/{_MIXTURE}" if part.refers else part.name
            blend.append({"weight": taken, "path": path, "subflavors": {"source": part.name}})
        splits = {"train": {"blend": blend}}
        if self.val_shards:
            splits["val"] = {"blend": blend}
        said = {"__module__": "megatron.energon", "__class__": "MetadatasetV2", "splits": splits}
        (folder / _MIXTURE).write_text(_yaml(said))

    def _webdataset(self, dataset: FinishedShards, folder: Path, done: Exported) -> Iterator[Exported]:
        meta = folder / _META
        meta.mkdir(exist_ok=True)
        counts: dict[str, int] = {}
        index = meta / "index.sqlite"
        index.unlink(missing_ok=True)
        with closing(sqlite3.connect(index)) as base:
            base.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES} BEGIN;")
            for number, shard in enumerate(tar_shards(dataset)):
                done.shards, done.samples = done.shards + 1, done.samples + shard.samples
                if shard.samples:  # Energon refuses an empty one
                    name = f"{number:05d}.tar"
                    give_name(shard.path, folder / name)
                    _index_shard(base, len(counts), shard, folder / f"{name}.idx")
                    counts[name] = shard.samples
                yield done
            base.execute("COMMIT")
            base.executescript(_INDEXES)
        names = [*counts]
        if not 0 <= self.val_shards < max(1, len(names)):
            raise UsageError(
                f"--val-shards {self.val_shards}: {dataset.name} has {len(names)} shards with samples"
            )
        cut = len(names) - self.val_shards
        splits = {"train": names[:cut], "val": names[cut:]}
        info = {"energon_version": _VERSION, "shard_counts": counts}
        (meta / ".info.json").write_text(json.dumps(info, indent=2))
        parts = {name: some for name, some in splits.items() if some}
        (meta / "split.yaml").write_text(_yaml({"split_parts": parts, "exclude": []}))
        (meta / "dataset.yaml").write_text(_yaml(_sample_type(dataset)))
        told = digest_of([shard.digest for shard in dataset.shards])
        (meta / "index.uuid").write_text(str(uuid.uuid5(uuid.NAMESPACE_OID, told)))


def _parts(dataset: FinishedShards, done: Exported) -> Iterator[tuple[FinishedShards, int]]:
    """The parts of an index-only mixture, and how many of its samples come from each.

    Raises:
        UsageError: It leaves out samples of a part that are elsewhere too.
    """
    config, folders = RunConfig.read(store_at(dataset.folder)), PartShards(dataset.folder).folders()
    for part, said in config.parts.items():
        if said.get("spare"):
            raise UsageError(
                f"{dataset.folder} leaves out {said['spare']:,} samples of part {part}, and a metadataset cannot say "
                "which. Mix without --index-only into another folder."
            )
        if not said["taken"]:
            done.notes.append(f"The mixture has no sample of {part}, which the metadataset does not name.")
            continue
        if part not in folders:
            raise DamagedOutput(
                f"{dataset.folder}: part {part} is gone or has changed. Put it back there; or mix anew."
            )
        if said["taken"] != said["samples"]:
            done.notes.append(
                f"The mixture has {said['taken']:,} samples of the {said['samples']:,} of {part}. Energon draws from "
                "all of them, so often that their share is the same."
            )
        shards = tuple(
            ShardInfo(
                path=file.name,
                role="shard",
                samples=file.samples or 0,
                size_bytes=file.size_bytes,
                digest=file.digest,
            )
            for file in config.inputs
            if file.source == part
        )
        shape = partial(shape_of, Ledger(folders[part]))
        yield FinishedShards(folder=folders[part], shards=shards, name=part, shape=shape), said["taken"]


def _sample_type(dataset: FinishedShards) -> Mapping[str, Json]:
    """What a sample is: a caption, or one that the trainer's own cooker takes apart by its ``json``."""
    shape = dataset.shape()
    pictures = sorted(part for part in shape.parts if part in PICTURE_ENDINGS)
    if _has_captions_alone(shape, pictures):
        return {
            "sample_type": {"__module__": "megatron.energon", "__class__": "CaptioningSample"},
            "field_map": {"image": ",".join(pictures), "caption": "txt"},
        }
    return {
        "__module__": "megatron.energon",
        "__class__": "CrudeWebdataset",
        "subflavors": {"source": dataset.name},
    }


def _has_captions_alone(shape: Shape, pictures: Sequence[str]) -> bool:
    return bool(shape.sets) and all("txt" in one and len(one & {*pictures}) == 1 for one in shape.sets or ())


def _index_shard(base: sqlite3.Connection, number: int, shard: TarShard, place: Path) -> None:
    """Write where the samples of a shard and their parts lie, into the base and into a file of its own."""
    offsets: list[int] = []
    keys: list[str] = []
    parts: list[tuple[int, int, str, int, int]] = []
    end = 0
    for key, part, start, body, size in _members(shard.path):
        if not keys or key != keys[-1]:
            keys.append(key)
            offsets.append(start)
        parts.append((number, len(keys) - 1, part, body, size))
        end = body + size + -size % _BLOCK_BYTES
    if len(keys) != shard.samples:
        raise DamagedOutput(f"{shard.path} has {len(keys)} samples, its record says {shard.samples}")
    sizes = (after - start for start, after in zip(offsets, [*offsets[1:], end], strict=True))
    rows = (
        (number, key, n, at, size) for n, (key, at, size) in enumerate(zip(keys, offsets, sizes, strict=True))
    )
    try:
        base.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?)", rows)
    except sqlite3.IntegrityError as err:
        raise UsageError(
            f"{shard.path} has a key that another shard has too, and Energon takes each once in a dataset."
        ) from err
    base.executemany("INSERT INTO sample_parts VALUES (?, ?, ?, ?, ?)", parts)
    place.write_bytes(struct.pack(f"<{len(offsets) + 1}Q", *offsets, end))


def _members(path: Path) -> Iterator[tuple[str, str, int, int, int]]:
    """Key, part, header's place, body's place and size of each member of a shard; no body is read.

    Raises:
        DamagedOutput: It is no shard.
    """
    at, size = 0, path.stat().st_size
    fd = os.open(path, os.O_RDONLY)
    try:
        while at + _BLOCK_BYTES <= size:
            head = os.pread(fd, _BLOCK_BYTES, at)
            if not head.strip(b"\0"):
                return
            name = head[:100].partition(b"\0")[0].decode("ascii", "replace")
            folder, slash, last = name.rpartition("/")
            key, dot, part = last.partition(".")
            try:
                length = int(head[124:135], 8)
            except ValueError:
                dot = ""
            if head[257:262] != b"ustar" or not dot:
                break
            yield f"{folder}{slash}{key}", part, at, at + _BLOCK_BYTES, length
            at += _BLOCK_BYTES + length + -length % _BLOCK_BYTES
    finally:
        os.close(fd)
    raise DamagedOutput(f"{path}: byte {at}: not a member KEY.PART, and no end mark.")


_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")


def _yaml(value: Json, indent: str = "") -> str:
    """Block YAML of mappings and lists; other values as JSON, which is YAML."""
    text = ""
    for key, item in value.items() if isinstance(value, dict) else ((None, item) for item in value):
        head = f"{indent}-" if key is None else f"{indent}{key}:"
        if isinstance(item, (dict, list)) and item:
            if key is None:
                text += f"{indent}- {_yaml(item, f'{indent}  ').lstrip()}"
            else:
                text += f"{head}\n{_yaml(item, f'{indent}  ')}"
        else:
            plain = isinstance(item, str) and _PLAIN.fullmatch(item)
            text += f"{head} {item if plain else json.dumps(item)}\n"
    return text


EXPORTER = Energon()
