"""Reads the samples of a dataset: out of its shards, or of an index-only mixture out of the shards of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.shards.extents import whole_again
from gristmill.shards.references import is_references, read_referred, sample_of
from gristmill.shards.webdataset import ShardSample, read_samples
from gristmill.spec.errors import DamagedOutput, DamagedPart, UsageError
from gristmill.spec.task import ShardInfo
from gristmill.storage.inside import irregularity, is_below
from gristmill.storage.store import Place, store_at

__all__ = ["PartShards", "samples_in", "whole_parts"]


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


def whole_parts(folder: Path) -> Iterator[tuple[Path, int, int]]:
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
            yield from whole_parts(place.parent.parent)


class PartShards:
    """Says where the shards of a mixture's parts lie: where they were when it was made, else beside the mixture.

    Args:
        place: Where the mixture lies.
        inputs: Its inputs; those of its run config if None.
    """

    def __init__(self, place: Place, inputs: Sequence[InputFile] | None = None) -> None:
        self._store, self._given = store_at(place), inputs
        self._inner: dict[str, PartShards] = {}

    @cached_property
    def _inputs(self) -> dict[tuple[str, str], InputFile]:
        inputs = RunConfig.read(self._store).inputs if self._given is None else self._given
        return {(file.source, file.name): file for file in inputs}

    def place(self, part: str, shard: str) -> Path:
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

    def folders(self) -> dict[str, Path]:
        """Part to its folder, for the parts that are there."""
        found = {}
        for part in dict.fromkeys(source for source, _ in self._inputs):
            try:
                found[part] = self._folder_of(part)
            except DamagedOutput:
                continue
        return found

    def _folder_of(self, part: str) -> Path:
        file = next((file for (source, _), file in self._inputs.items() if source == part), None)
        if file is None:
            raise DamagedOutput(f"{self._store} has no part {part[:200]!r}.")
        return self._found(file).parent.parent

    def _found(self, file: InputFile) -> Path:
        if not (is_below(file.source) and is_below(file.name)):
            raise DamagedOutput(f"{self._store} refers to {file.name[:200]!r}, which is no place of a shard.")
        candidates = [Path(file.path)] if file.path else []
        if self._store.local is not None:
            candidates.append(self._store.local.resolve().parent / file.source / file.name)
        for path in candidates:
            folder = path.parent.parent
            if (
                irregularity(folder, f"{path.parent.name}/{path.name}") is None
                and _size(path) == file.size_bytes
            ):
                return path
        tried = ", or ".join(dict.fromkeys(map(str, candidates)))
        whole = [whole_again(path) for path in candidates if path.parent.parent.is_dir()]
        then = whole[0] if whole else f"Put part {file.source} back there."
        raise DamagedPart(
            f"{self._store} refers to {tried or 'a shard that it does not say the place of'}: it is gone or has "
            f"changed. {then} Or mix anew into another folder."
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
