"""Reads shards for exporters, and checks the folder that they write into.

Each file is whole or absent; nothing else lies beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gristmill.exports._exporter import FinishedShards
from gristmill.ledger.features import shape_of
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.reading import samples_in
from gristmill.ledger.run_config import RunConfig
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.command import to_type
from gristmill.spec.errors import DamagedOutput, DamagedPart, Incomplete, UsageError
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import sha256_file, sweep_temporaries, whole_file
from gristmill.storage.store import Place, Store, store_at

__all__ = ["called", "check_folder", "finished_shards", "or_nothing", "shard_samples", "written"]

_TEMPORARY = ".tmp-"


def finished_shards(folder: Place, config: RunConfig, ledger: Ledger) -> FinishedShards:
    """Collect what an exporter reads of a dataset: its shards, in order, and its names.

    Raises:
        Incomplete: None is finished.
    """
    shards = tuple(shard for record in ledger.shards() if (shard := record.output("shard")) is not None)
    if not shards:
        raise Incomplete(f"{folder} has no finished shard yet; see `{to_type('status', folder)}`.")
    return FinishedShards(
        folder=folder,
        shards=shards,
        name=config.name,
        published_as=config.published_as,
        parts=tuple(config.parts),
        shape=lambda: shape_of(ledger),
    )


def shard_samples(
    folder: Place, shard: ShardInfo, *, check: bool = True, large_bytes: int | None = None
) -> Iterator[ShardSample]:
    """The samples of a dataset's shard; of an index-only mixture they are read from the shards of its parts.

    Args:
        folder: The dataset's, or its store.
        shard: As its record says.
        check: First compare its checksum, so that what goes on to a trainer is what was packed.
        large_bytes: Parts that are larger are left where they lie, see :class:`ShardSample`; else all are read.

    Raises:
        DamagedOutput: It is not what its record says, or gone; with what to do.
    """
    store = store_at(folder)
    path = f"{store}/{shard.path}"
    then = f"Give: {to_type('verify', folder, '--repair')}, then the command that made it."
    try:
        if check and sha256_file(store.fetch(shard.path)) != shard.digest:
            raise DamagedOutput(f"{path} is not what was written: its SHA-256 differs from its record's.")
        yield from samples_in(store, shard, large_bytes)
    except FileNotFoundError as err:
        raise DamagedOutput(f"{path} is gone. {then}") from err
    except DamagedPart:  # the dataset's own files are whole
        raise
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


def called(out: Place) -> str:
    """Say where a folder is, for who reads it from elsewhere."""
    return str(out.resolve() if isinstance(out, Path) else out)


@contextmanager
def written(files: Store, name: str) -> Iterator[BinaryIO]:
    """Open a stream whose bytes become that file if the block ends well; what a killed one left is swept later."""
    if files.local is not None:
        with files.writing(name) as stream:
            yield stream
        return
    path = files.work(name)
    with whole_file(path) as stream:
        yield stream
    files.put(name, path)
    path.unlink()


def check_folder(out: Place, names: Sequence[str] | set[str], why: str) -> None:
    """Make the folder to write into, sweep it, and refuse it if it holds anything that is not to be there.

    Args:
        out: The folder.
        names: What may lie in it.
        why: The trainer's rule, as a clause.

    Raises:
        UsageError: Something else lies there.
    """
    if isinstance(out, Store):
        sweep_temporaries(out.work(""))
        strange = [one.name for one in out.list() if one.name not in names]
    else:
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
