"""Reads the samples of a dataset: out of its shards, or of an index-only mixture out of the shards of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.shards.extents import whole_again
from gristmill.shards.references import is_references, read_referred, sample_of
from gristmill.shards.webdataset import ShardSample, read_samples
from gristmill.spec.errors import DamagedOutput, DamagedPart, UsageError
from gristmill.spec.task import ShardInfo
from gristmill.storage.inside import is_below
from gristmill.storage.store import Place, Store, StoredFile, store_at

__all__ = ["PartShards", "samples_in", "shard_at", "whole_parts"]


def samples_in(place: Place, shard: ShardInfo, large_bytes: int | None = None) -> Iterator[ShardSample]:
    """Read the samples of one of a dataset's shards, in order, wherever their bytes lie.

    Args:
        place: Where the dataset lies.
        shard: As its record says: a tar file, or references to samples of a mixture's parts.
        large_bytes: See :func:`read_samples`; samples that are referred to are read whole.

    Raises:
        DamagedOutput: It is not what was written, or a part is gone or has changed.
        FileNotFoundError: It is gone.
        OSError: As the system says.
    """
    store = store_at(place)
    path = store.fetch(shard.path)
    if not is_references(shard.path):
        yield from read_samples(path, large_bytes=large_bytes)
        return
    parts = PartShards(store)
    for *_, extents in read_referred(path, parts.place):
        for extent in extents:
            yield sample_of(extent, path)


def whole_parts(folder: Place) -> Iterator[tuple[StoredFile, int, int]]:
    """The shards that an index-only mixture takes whole, in the order of its parts: place, samples, bytes.

    Samples have the keys that they have there, without the prefixes of parts.

    Args:
        folder: The mixture's.

    Raises:
        UsageError: It takes some samples of a part, or one more than once.
        DamagedOutput: A shard is gone.
    """
    config, parts = RunConfig.read(folder), PartShards(folder)
    for part, said in config.parts.items():
        if said["taken"] != said["samples"] or said.get("spare"):
            raise UsageError(
                f"{folder} does not take part {part} whole, and a list of whole shards cannot say that. "
                "Mix without --index-only into another folder."
            )
    inner: set[str] = set()
    for file in config.inputs:
        place = parts.place(file.source, file.name)
        if not is_references(file.name):
            yield place, file.samples or 0, file.size_bytes
        elif file.source not in inner:
            inner.add(file.source)
            yield from whole_parts(place.store)


class PartShards:
    """Says where the shards of a mixture's parts lie: where they were when it was made, else beside the mixture.

    Args:
        place: Where the mixture lies.
        inputs: Its inputs; those of its run config if None.
    """

    def __init__(self, place: Place, inputs: Sequence[InputFile] | None = None) -> None:
        self._store, self._given = store_at(place), inputs
        self._inner: dict[str, PartShards] = {}
        self._listed: dict[Store, dict[str, int]] = {}

    @cached_property
    def _inputs(self) -> dict[tuple[str, str], InputFile]:
        inputs = RunConfig.read(self._store).inputs if self._given is None else self._given
        return {(file.source, file.name): file for file in inputs}

    def place(self, part: str, shard: str) -> StoredFile:
        """Find the shard of a part.

        Args:
            part: Its name; ``OUTER/INNER`` for a part of a part.
            shard: Path in the folder of the part.

        Raises:
            DamagedOutput: It is not there, or it is none of the mixture's inputs.
        """
        outer, _, inner = part.partition("/")
        if inner:
            if outer not in self._inner:
                self._inner[outer] = PartShards(self._folder_of(outer))
            return self._inner[outer].place(inner, shard)
        file = self._inputs.get((outer, shard))
        if file is None:
            raise DamagedOutput(
                f"{self._store} refers to {shard[:200]!r} of {outer[:200]!r}, which it was not made of. If it came "
                "from somebody else, do not trust it."
            )
        return self._found(file)

    def folders(self) -> dict[str, Store]:
        """Part to where it lies, for the parts that are there."""
        found = {}
        for part in dict.fromkeys(source for source, _ in self._inputs):
            try:
                found[part] = self._folder_of(part)
            except DamagedOutput:
                continue
        return found

    def _folder_of(self, part: str) -> Store:
        file = next((file for (source, _), file in self._inputs.items() if source == part), None)
        if file is None:
            raise DamagedOutput(f"{self._store} has no part {part[:200]!r}.")
        return self._found(file).store

    def _found(self, file: InputFile) -> StoredFile:
        if not (is_below(file.source) and is_below(file.name)):
            raise DamagedOutput(f"{self._store} refers to {file.name[:200]!r}, which is no place of a shard.")
        candidates = list(dict.fromkeys(self._places(file)))
        for store in candidates:
            if store.irregularity(file.name) is None and self._size(store, file.name) == file.size_bytes:
                return StoredFile(store, file.name)
        shards = [f"{store}/{file.name}" for store in candidates]
        tried = ", or ".join(shards)
        whole = [
            whole_again(shard) for store, shard in zip(candidates, shards, strict=True) if _is_there(store)
        ]
        then = whole[0] if whole else f"Put part {file.source} back there."
        raise DamagedPart(
            f"{self._store} refers to {tried or 'a shard that it does not say the place of'}: it is gone or has "
            f"changed. {then} Or mix anew into another folder."
        )

    def _places(self, file: InputFile) -> Iterator[Store]:
        """Where the part of a shard may lie."""
        if (given := shard_at(self._store, file)) is not None:
            yield given.store
        if (above := self._store.above) is not None:
            yield above / file.source

    def _size(self, store: Store, name: str) -> int | None:
        """Bytes of a shard; in an object store by one listing of all."""
        if store.local is not None:
            return store.size(name)
        if store not in self._listed:
            folder = name.rpartition("/")[0]
            self._listed[store] = {one.name: one.size_bytes for one in store.list(folder)}
        found = self._listed[store].get(name)
        return store.size(name) if found is None else found  # a listing may lag behind


def shard_at(store: Store, file: InputFile) -> StoredFile | None:
    """Say where the shard of a part is that a mixture is made of, by its path; None where that is none of it.

    Args:
        store: Of the mixture.
        file: The shard.
    """
    if not (file.path and file.path.endswith(f"/{file.name}")):
        return None
    return StoredFile(store.at(file.path.removesuffix(f"/{file.name}")), file.name)


def _is_there(store: Store) -> bool:
    return store.local.is_dir() if store.local is not None else RunConfig.lies_in(store)
