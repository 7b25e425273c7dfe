"""Shuffling: every sample of the dataset to a place of its own among all shards, and shards of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gristmill.spec.barrier import GlobalShuffle, Places
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.step import Needs, runtime_option
from gristmill.steps.permutation import PUBLISHED_LIMIT, Places64, permuted, published_places

__all__ = ["Shuffle"]

_MOST_BITS = 8
_ORDERS = ("seeded", "published", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffle(GlobalShuffle):
    """One order over the whole dataset, cut into shards whose sizes differ by at most one; nothing is left out.

    Attributes:
        seed: Other seeds give other orders.
        shards: How many; with fewer samples than that, a shard for each sample.
        shard_samples: If given, as many shards as it takes for no shard to hold more than that.
        order: ``seeded`` needs no memory, whatever the size. ``published`` is the order of Python's
            ``random.Random(seed).shuffle`` over all samples, cut as VILA's ``split_vflan.py`` does: shards of
            ``samples // shards``, as many as that gives (of few samples more than ``shards``), the last few samples
            left out (reason ``tail``). ``none`` keeps the order and only cuts.
        index_only: Of a mixture: write where each sample lies in the shards of the parts, and leave it there.
        duplicates: Of a mixture: ``drop`` leaves out samples all of whose media an earlier part has (reason
            ``duplicate_picture``), but for those that speak of boxes; ``keep`` does not look.
        duplicate_bits: With that, the bits (0 to 8) in which perceptual hashes of one picture may differ; None for
            identical bytes alone.
        copy: Write what is scattered together for each shard, so that a disk which seeks slowly reads in
            sequence; it takes the dataset's size on disk once more. Else samples stay where they are until they are
            gathered. Samples that are not packed yet are always copied, and those of parts in an object store.
    """

    seed: int = 1
    shards: int = 128
    shard_samples: int | None = None
    order: str = "seeded"
    index_only: bool = False
    duplicates: str = "keep"
    duplicate_bits: int | None = 2
    copy: bool = runtime_option(False, "for disks that seek slowly")

    name = "shuffle"
    revision = 2
    drops = frozenset({Reason.TAIL, Reason.DUPLICATE_PICTURE, Reason.LEFT_OUT})
    needs = Needs(cpus=1, memory_gib=0.3)

    def __post_init__(self) -> None:
        if self.shards < 1 or (self.shard_samples is not None and self.shard_samples < 1):
            raise UsageError("shuffle: shards and shard_samples must be at least 1")
        if self.order not in _ORDERS:
            raise UsageError(f"shuffle: order is one of {', '.join(_ORDERS)}, not {self.order!r}")
        if self.duplicates not in ("keep", "drop"):
            raise UsageError(f"shuffle.duplicates={self.duplicates}: expected keep or drop")
        if self.duplicate_bits is not None and not 0 <= self.duplicate_bits <= _MOST_BITS:
            raise UsageError(f"shuffle.duplicate_bits: expected 0 to {_MOST_BITS} bits, or none")

    def ranks(self, start: int, stop: int, samples: int) -> Places64:
        """See :class:`GlobalShuffle`."""
        return permuted(start, stop, samples=samples, seed=self.seed)

    @property
    def without_duplicates(self) -> bool:
        """See :class:`GlobalShuffle`."""
        return self.duplicates == "drop"

    @property
    def copies(self) -> bool:
        """See :class:`GlobalShuffle`."""
        return self.copy and not self.index_only

    @property
    def refers(self) -> bool:
        """See :class:`GlobalShuffle`."""
        return self.index_only

    def places(self, samples: int, earlier: int | None = None) -> Places:
        """See :class:`GlobalShuffle`.

        Raises:
            UsageError: The published order of more samples than fit into memory.
        """
        if self.order == "published" and samples > PUBLISHED_LIMIT:
            raise UsageError(
                f"shuffle: order=published works out the order of all {samples:,} samples in memory, which is done "
                f"for at most {PUBLISHED_LIMIT:,}. Leave shuffle.order at seeded: it needs none."
            )
        shards = self._shards(samples, earlier)
        few = earlier is None and self.shard_samples is None and 0 < samples < self.shards
        return ShufflePlaces(self, samples, shards, few)

    def _shards(self, samples: int, earlier: int | None) -> int:
        if self.shard_samples is not None:
            return -(-samples // self.shard_samples)
        wanted = self.shards if not earlier else -(-samples * self.shards // earlier)
        if self.order == "published" and 0 < wanted <= samples:
            return samples // (samples // wanted)
        return min(wanted, samples)


class ShufflePlaces:
    """A :class:`gristmill.spec.step.Places`."""

    drop = Reason.TAIL

    def __init__(self, step: Shuffle, samples: int, shards: int, few: bool) -> None:
        self._step, self._samples, self.shards = step, samples, shards
        self.kept = samples // shards * shards if step.order == "published" and shards else samples
        self.note = ""
        if few:
            self.note = (
                f"shuffle: {samples:,} samples are fewer than {step.shards:,} shards: there is one in each of "
                f"{shards:,} shards."
            )
        elif self.kept < samples:
            self.note = (
                f"shuffle: order=published cuts {samples:,} samples into {shards:,} equal shards and leaves out "
                f"the {samples - self.kept:,} that are over, as the published script does."
            )

    def bounds(self, shard: int) -> tuple[int, int]:
        """See :class:`gristmill.spec.step.Places`."""
        return shard * self.kept // self.shards, (shard + 1) * self.kept // self.shards

    def of(self, start: int, stop: int) -> Places64:
        """See :class:`gristmill.spec.step.Places`."""
        if self._step.order == "published":
            return published_places(self._samples, self._step.seed)[start:stop]
        if self._step.order == "seeded":
            return permuted(start, stop, samples=self._samples, seed=self._step.seed)
        return np.arange(start, stop, dtype=np.int64)
