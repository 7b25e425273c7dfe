"""Finds the tar files that hold all of a dataset's samples and no others, and gives them second names in a folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gristmill.exports._exporter import FinishedShards
from gristmill.ledger.reading import whole_parts
from gristmill.ledger.run_config import RunConfig
from gristmill.shards.extents import whole_again
from gristmill.spec.errors import DamagedOutput, UsageError
from gristmill.storage.store import Store, StoredFile, store_at

__all__ = ["TarShard", "copying", "give_name", "said_of_keys", "tar_shards", "whole_shards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TarShard:
    """A shard where it lies."""

    path: Path
    samples: int
    size_bytes: int


def tar_shards(dataset: FinishedShards) -> Iterator[TarShard]:
    """The shards of a dataset on this machine; of an index-only mixture those of its parts.

    Raises:
        UsageError: One is not on this machine; or as :func:`whole_shards`.
        DamagedOutput: As :func:`whole_shards`.
    """
    for file, samples, size_bytes in whole_shards(dataset):
        if (folder := file.store.local) is None:
            raise UsageError(
                f"{file.store} is no folder, and links are made to its shards. Copy it first: {copying(file.store)}"
            )
        yield TarShard(path=folder / file.name, samples=samples, size_bytes=size_bytes)


def whole_shards(dataset: FinishedShards) -> Iterator[tuple[StoredFile, int, int]]:
    """The shards of a dataset, wherever they lie, samples and bytes of each; of an index-only mixture its parts'.

    Raises:
        UsageError: It refers to some samples of a shard, or to one twice.
        DamagedOutput: One is not of the size that its record says, or gone.
    """
    store = store_at(dataset.folder)
    found = [(StoredFile(store, shard.path), shard.samples, shard.size_bytes) for shard in dataset.shards]
    if dataset.refers:
        found = list(whole_parts(store))
        if over := sum(samples for _, samples, _ in found) - dataset.samples:
            raise UsageError(
                f"{dataset.folder} leaves out the last {over:,} samples of its order, and whole shards cannot "
                "say which. Mix without --index-only into another folder."
            )
    for file, samples, size_bytes in found:
        if (kind := file.store.irregularity(file.name)) is not None:
            raise DamagedOutput(f"{file} is {kind}, and a regular file is expected.")
        held = file.store.size(file.name)
        if held is None:
            raise DamagedOutput(f"{file} is gone. {whole_again(str(file))}")
        if held != size_bytes:
            raise DamagedOutput(f"{file} has another size than its record says. {whole_again(str(file))}")
        yield file, samples, size_bytes


def copying(store: Store) -> str:
    """Say what to type to have all of an object store's place in a folder on this machine."""
    scheme, _, rest = str(store).partition("://")
    bucket, _, prefix = rest.partition("/")
    name = store.title
    if scheme == "gs":
        return shlex.join(["gcloud", "storage", "rsync", "--recursive", str(store), name])
    if scheme == "az":
        words = ["-s", bucket, "--pattern", f"{prefix}/*" if prefix else "*", "-d", "."]
        return shlex.join(["az", "storage", "blob", "download-batch", *words])
    return shlex.join(["aws", "s3", "sync", str(store), name])


def said_of_keys(dataset: FinishedShards) -> list[str]:
    """Say which parts' prefixes the keys lack, as the shards of an index-only mixture's parts have them."""
    parts = RunConfig.read(store_at(dataset.folder)).parts if dataset.refers else {}
    named = [part for part, said in parts.items() if said["prefix"]]
    return (
        [f"Keys are as they stand in the parts: without the prefix of {', '.join(named)}."] if named else []
    )


def give_name(path: Path, name: Path) -> None:
    """Give a file a second name: a hard link, or on another disk a symbolic one.

    Raises:
        OSError: As the system says.
    """
    name.unlink(missing_ok=True)
    with suppress(OSError):
        name.hardlink_to(path.resolve())
        return
    name.symlink_to(path.resolve())
