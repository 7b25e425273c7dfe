"""What a stage is: one kind of task. Each is a file in ``run/stages`` that holds a class ``STAGE``, and is found so.

A stage says which of a recipe's steps are its own, which tasks follow from which records, and what is done within
one task. Along a dataset, stages stand by rank: each takes what the one before it made, in the dataset's order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from gristmill.ledger.run_config import RunConfig
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Needs, Step
from gristmill.spec.task import Account, ShardInfo, Task, TaskRecord, digest_of
from gristmill.storage.store import Store

if TYPE_CHECKING:  # whoever plans does no task
    from gristmill.run.state.context import Context, Work

__all__ = ["Made", "Plan", "Stage"]

S = TypeVar("S", bound=Step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Holds what a stage hands on to the next.

    Attributes:
        number: Its place in the dataset's order: (round, input position, part).
        shard: The file.
        beside: Files that the next stage must see together with it.
        decision: What was decided about it, where the next stage must know.
        facts: What was counted when its samples were made.
    """

    number: tuple[int, int, int]
    shard: ShardInfo
    beside: tuple[ShardInfo, ...] = ()
    decision: Any = None
    facts: Mapping[str, float] = field(default_factory=dict)


class Plan(Protocol):
    """Holds what a stage may ask of the planner.

    Attributes:
        config: What the dataset's folder was begun with.
        store: Where its files lie.
        span: Positions of the inputs that this process works on.
    """

    config: RunConfig
    store: Store
    span: range

    def want(self, task: Task) -> None:
        """Have a task done by this process, unless it is done."""

    async def done(self, task: Task) -> TaskRecord:
        """Wait for a task's record, whoever does it."""

    def has(self, task: Task) -> bool:
        """Say whether its record is there."""


class Stage(ABC, Generic[S]):
    """One kind of task, for one dataset.

    Args:
        steps: Its own of the recipe's steps.
        recipe_steps: All of them.
        version: Of the recipe.

    Attributes:
        name: In records and ids.
        account: What its tasks count for; nothing if empty.
        verb: What they do, for a person who watches; they are not shown if empty.
        rank: The nearer to a finished shard, the smaller; also the order in which its tasks are given out.
        follows: The stage whose records :meth:`follow` is given; none if empty.
        awaited_by_all: No process can go on before all of its tasks are done, by whomever.
        by_portions: Its work takes samples in portions where a task killed a worker, so that the one that did is
            found by a few deaths more.
    """

    name: ClassVar[str]
    account: ClassVar[Account] = ""
    verb: ClassVar[str] = ""
    rank: ClassVar[int]
    follows: ClassVar[str] = ""
    awaited_by_all: ClassVar[bool] = False
    by_portions: ClassVar[bool] = False

    def __init__(self, steps: Sequence[S], recipe_steps: Sequence[Step], version: str) -> None:
        self.steps, self.recipe_steps, self._version = tuple(steps), tuple(recipe_steps), version

    @classmethod
    @abstractmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """Its own among a recipe's steps; None where such a recipe has no task of this stage."""

    @property
    def divided(self) -> bool:
        """Say whether of several commands (``--share``) each does only those of its tasks that fall to it.

        Tasks of other stages are done by whichever command comes first.
        """
        return False

    @classmethod
    def concerns(cls, recipe: Recipe) -> bool:
        """Say whether a recipe with such steps has tasks of this stage: that may depend on its sources."""
        return True

    @property
    def deciding(self) -> Sequence[Step]:
        """The steps whose settings decide what comes out of its tasks."""
        return self.steps

    @cached_property
    def identity(self) -> str:
        """Hash of what decides its outcome: those steps, and the recipe's version for ``parse``."""
        return digest_of([self._version, [step.identity() for step in self.deciding]])

    @property
    def needs(self) -> Needs:
        """Say what a task occupies: as its step that asks the network, else as the one that computes most."""
        needs = [step.needs for step in self.steps]
        asks = (one for one in needs if one.network)
        return next(asks, max(needs, key=lambda one: one.cpus, default=Needs()))

    @abstractmethod
    def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """One round, in the dataset's order: take what the stage before made, hand on what this one makes of it."""

    def follow(self, record: TaskRecord, plan: Plan) -> None:
        """Want what follows from a record of :attr:`follows` at once, in whichever order such records come."""

    def end(self, plan: Plan) -> None:
        """Want what is to be done when all shards are known."""

    def spent(self, record: TaskRecord, plan: Plan) -> bool:
        """Say whether nobody needs the annotation file of this stage's task any more now that its record is there."""
        return False

    def rows(self, task: Task) -> int:
        """Say how many rows a task has before it."""
        return task.inputs[0].samples

    def reads_bodies(self, task: Task) -> bool:
        """Say whether a task reads what lies beside its inputs and may have been cleaned away."""
        return False

    @abstractmethod
    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Do a task. What only this needs is imported here: whoever plans loads all stages."""
