"""Trainers' own formats, out of finished shards. Each file is whole or absent; nothing else lies beside them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gristmill.ledger.ledger import Ledger
from gristmill.shards.shape import Shape
from gristmill.shards.webdataset import ShardSample, read_samples
from gristmill.shards.wids import wids_index
from gristmill.spec.command import to_type
from gristmill.spec.errors import DamagedOutput, Incomplete, UsageError
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import sha256_file, sweep_temporaries, write_whole

__all__ = [
    "Exported",
    "check_folder",
    "export_wids",
    "finished_shards",
    "or_nothing",
    "shard_samples",
    "unfit_for_coyo_wds",
]

_TEMPORARY = ".tmp-"


@dataclass(slots=True)
class Exported:
    """What an export wrote or found written.

    Attributes:
        form: Which of a trainer's forms it is.
        file: Name of the one file, where it is one.
        left_out: Samples of the shards that are not among ``samples``.
        reasons: Why, for the shards written this time; and what else was done to samples, by a word each.
    """

    form: str = ""
    file: str = ""
    shards: int = 0
    samples: int = 0
    left_out: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def finished_shards(folder: Path, ledger: Ledger) -> list[ShardInfo]:
    """The dataset's shards, in order.

    Raises:
        Incomplete: None is finished.
    """
    shards = [shard for record in ledger.shards() if (shard := record.output("shard")) is not None]
    if not shards:
        raise Incomplete(f"{folder} has no finished shard yet; see `{to_type('status', folder)}`.")
    return shards


def shard_samples(folder: Path, shard: ShardInfo, *, check: bool = True) -> Iterator[ShardSample]:
    """The samples of a dataset's shard.

    Args:
        folder: The dataset's.
        shard: As its record says.
        check: First compare its checksum, so that what goes on to a trainer is what was packed.

    Raises:
        DamagedOutput: It is not what its record says, or gone; with what to do.
    """
    path = folder / shard.path
    then = f"Give: {to_type('verify', folder, '--repair')}, then the command that made it."
    try:
        if check and sha256_file(path) != shard.digest:
            raise DamagedOutput(f"{path} is not what was written: its SHA-256 differs from its record's.")
        yield from read_samples(path)
    except FileNotFoundError as err:
        raise DamagedOutput(f"{path} is gone. {then}") from err
    except DamagedOutput as err:
        raise DamagedOutput(f"{err} {then}") from err


@contextmanager
def or_nothing(out: Path) -> Iterator[None]:
    """Remove the folder to write into, and those above it, if the block made them and failed before it wrote any."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except BaseException:  # an interruption too; and it is raised on
        with suppress(OSError):  # one of them holds something: it and those above it stay
            for folder in missing:
                folder.rmdir()
        raise


def check_folder(out: Path, names: Sequence[str] | set[str], why: str) -> None:
    """Make the folder to write into, sweep it, and refuse it if it holds anything that is not to be there.

    Args:
        out: The folder.
        names: What may lie in it.
        why: The trainer's rule, as a clause.

    Raises:
        UsageError: Something else lies there.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file. Name a folder with --out.")
    out.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(out)
    strange = sorted(path.name for path in out.iterdir() if path.name not in names)
    if not strange:
        return
    if _TEMPORARY in strange[0]:
        raise UsageError(
            f"{out} holds {strange[0]!r}: another export is writing there, or was killed on another machine. "
            "Wait for it, or remove that file."
        )
    raise UsageError(f"{out} holds {strange[0]!r}: {why}. Name an empty folder with --out.")


def export_wids(folder: Path, shards: list[ShardInfo], name: str, out: Path) -> Path:
    """Write ``wids-meta.json`` into ``out``, the shards' own folder or another: the index that wids and VILA read."""
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


_OF_COYO_WDS = frozenset({"jpg", "png", "webp"})


def unfit_for_coyo_wds(shape: Shape) -> str:
    """Why VILA's loader type ``coyo-wds`` would stop at samples of this shape, as a clause; empty if it would not."""
    if shape.positions:
        return "their pictures are named by position, and it cuts names at the last dot"
    if shape.sets is None or any(len(one & _OF_COYO_WDS) != 1 for one in shape.sets):
        return "not each has one picture that is JPEG, PNG or WebP"
    if any("txt" not in one for one in shape.sets):
        return "not each has a caption in a .txt"
    return ""


def _url(path: Path, out: Path) -> str:
    return os.path.relpath(path.resolve(), out.resolve())
