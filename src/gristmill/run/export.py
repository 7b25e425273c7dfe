"""Trainers' own formats, out of finished shards. Each file is whole or absent; nothing else lies beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gristmill.ledger.ledger import Ledger
from gristmill.run.stages import PACK
from gristmill.shards.vila import PickledList, coyo_item, part_names
from gristmill.shards.webdataset import ShardSample, read_samples
from gristmill.shards.wids import wids_index
from gristmill.spec.errors import Incomplete, UsageError
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import sweep_temporaries, whole_file, write_whole

__all__ = ["export_vila", "export_wids", "finished_shards"]


def finished_shards(folder: Path, ledger: Ledger) -> list[ShardInfo]:
    """The dataset's shards, in order.

    Raises:
        Incomplete: None is finished.
    """
    shards = [shard for record in ledger.stage(PACK) if (shard := record.output("shard")) is not None]
    if not shards:
        raise Incomplete(f"{folder} has no finished shard yet; see `gristmill status {folder}`.")
    return sorted(shards, key=lambda shard: shard.path)


def export_vila(folder: Path, shards: list[ShardInfo], out: Path) -> Iterator[ShardInfo]:
    """Write ``part-NNNNN.pkl`` and ``.count`` as VILA's ``LazyCoyoDataset`` reads them.

    A pickle is a list of plain dicts ``id, url, text, clip_sim, image`` (base64 of the JPEG). The loader counts
    the folder's entries, so the folder must hold nothing else. Shards already exported are passed over.

    Yields:
        Each shard when its part is written.

    Raises:
        UsageError: ``out`` holds something else.
    """
    names = {name for number in range(len(shards)) for name in part_names(number)}
    out.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(out)
    strange = sorted(path.name for path in out.iterdir() if path.name not in names)
    if strange:
        raise UsageError(
            f"{out} holds {strange[0]!r}: VILA's loader counts what lies in the folder. Name an empty one with --out."
        )
    for number, shard in enumerate(shards):
        pickle_name, count_name = part_names(number)
        if not (out / count_name).exists():  # written last, so it says that the pickle is whole
            with whole_file(out / pickle_name) as stream:
                items = _write_items(stream, read_samples(folder / shard.path))
            write_whole(out / count_name, items.count_text())
        elif (out / count_name).read_text().strip() != str(shard.samples):
            raise UsageError(f"{out / count_name} is of another dataset. Name an empty folder with --out.")
        yield shard


def _write_items(stream: BinaryIO, samples: Iterator[ShardSample]) -> PickledList:
    items = PickledList(stream)
    for sample in samples:
        try:
            items.add(coyo_item(sample.key, sample.parts))
        except KeyError as err:
            raise UsageError(f"{err.args[0]}: VILA's image-text loader wants one picture a sample.") from err
    items.close()
    return items


def export_wids(folder: Path, shards: list[ShardInfo], name: str, out: Path) -> Path:
    """Write ``wids-meta.json`` beside the shards (or in ``out``): the index that wids and VILA read.

    Raises:
        UsageError: ``out`` is not the shards' own folder.
    """
    target = folder / "shards"
    if out.resolve() != target.resolve():
        out.mkdir(parents=True, exist_ok=True)
    entries = []
    for shard in shards:
        path = folder / shard.path
        with path.open("rb") as stream:
            md5 = hashlib.file_digest(stream, "md5").hexdigest()
        entries.append((_url(path, out), shard.samples, shard.size_bytes, md5))
    path = out / "wids-meta.json"
    write_whole(path, wids_index(name, entries))
    return path


def _url(path: Path, out: Path) -> str:
    return os.path.relpath(path.resolve(), out.resolve())
