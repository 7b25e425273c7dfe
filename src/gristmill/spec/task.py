"""Tasks, the shards they read and write, and the records that say what was done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from gristmill.spec.errors import GristmillError
from gristmill.spec.sample import Json

__all__ = [
    "IN_STORE",
    "RECORD_FORMAT",
    "Account",
    "LostSamples",
    "Role",
    "ShardInfo",
    "Task",
    "TaskRecord",
    "decided",
    "digest_of",
]

IN_STORE = "store"
"""Begins the names of facts that count requests to an object store."""

Role: TypeAlias = Literal[
    "source", "part", "index", "spool", "fates", "shard", "sidecar", "blocklist", "keys"
]


Account: TypeAlias = Literal["", "looking", "reading", "making", "counting", "judging", "placing", "packing"]
"""What a stage's tasks count for in a dataset's account: they look at annotation files before rows are chosen, read
their rows, make samples of these, count over all, take some out again, give each its place, or pack shards."""

Decision = TypeVar("Decision")


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a value written as JSON in one fixed way; a dataclass is written by its fields."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> Json:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    raise TypeError(f"{type(value).__name__} cannot be part of an identity: {value!r}")


class LostSamples(GristmillError):
    """A record whose numbers do not add up; a bug, never data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardInfo:
    """A file: enough to trust or refuse it without opening it.

    Attributes:
        path: Relative to the dataset's folder; for sources the name in the source.
        digest: SHA-256 of the bytes, except for spools and sources (see ``docs/reference``): there it is
            of the content, which is the same on every run.
    """

    path: str
    role: Role
    samples: int
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One input through one stage. ``id`` depends on neither time, place nor worker count.

    Attributes:
        number: Place in the dataset's order: (round, input position, part).
        decision: What was decided for this task: a frozen dataclass of its stage, or None.
        id: 16 hex digits over all of it.
    """

    stage: str
    number: tuple[int, int, int]
    inputs: tuple[ShardInfo, ...]
    identity: str
    decision: object = None

    id: str = field(init=False)

    def __post_init__(self) -> None:
        decision = "" if self.decision is None else digest_of(self.decision)
        parts = (self.stage, self.identity, *(shard.digest for shard in self.inputs), decision)
        text = " ".join((*parts, *map(str, self.number)))
        object.__setattr__(self, "id", hashlib.sha256(text.encode()).hexdigest()[:16])


def decided(task: Task, kind: type[Decision]) -> Decision:
    """Say what was decided for a task of a stage whose decisions are of this kind.

    Raises:
        TypeError: It is something else; a bug.
    """
    if not isinstance(task.decision, kind):
        raise TypeError(f"{task.stage} {task.id}: {kind.__name__} expected, not {task.decision!r}")
    return task.decision


RECORD_FORMAT = 3
"""Raised when a record says something that earlier versions would misread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """Holds what one task did. Exists means done; cannot be built unless its numbers add up.

    Attributes:
        account: What it counts for, as its stage says.
        retried: Samples taken over from an earlier round's drops, by their old reason.
        hosts: Failures by host, the largest twenty; in a later round less those that an earlier one counted.
        media: Media of documents by fate (``kept``, or a reason), as a change: what an earlier round counted for a
            medium that was asked for again is subtracted.
        facts: Other numbers: ``bytes_in``, ``bytes_out``, ``requests``; ``several``, samples with several media, and
            ``incomplete``, those kept without some;
            ``named``, kept samples of which the recipe gave the key;
            ``repeated``, further copies; ``changes.WORD``, samples changed so;
            ``store.KIND``, requests to an object store, and bytes, of its process since that ended another task.
        found: What a prescan of an annotation file, or the statistics, found; of one that packs, how many samples
            of which index it took, by the digests of these; None for other tasks.
        shape: Of a task that makes a shard, the text of its samples' :class:`gristmill.shards.shape.Shape`.
        format: Of the record itself.
    """

    task_id: str
    stage: str
    number: tuple[int, int, int]
    outputs: tuple[ShardInfo, ...]
    samples_in: int
    kept: int
    account: Account = ""
    dropped: Mapping[str, int] = field(default_factory=dict)
    retried: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    media: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    finished_at: float = 0.0
    host: str = ""
    code_version: str = ""
    found: Json = None
    shape: str = ""
    format: int = RECORD_FORMAT

    def __post_init__(self) -> None:
        if self.samples_in != self.kept + sum(self.dropped.values()):
            raise LostSamples(
                f"{self.stage} {self.task_id}: {self.samples_in} in, {self.kept} kept and "
                f"{sum(self.dropped.values())} dropped do not add up. This is a bug; nothing was recorded."
            )

    def output(self, role: Role) -> ShardInfo | None:
        """The first output of this role."""
        return next((shard for shard in self.outputs if shard.role == role), None)
