"""The stage ``samples``: one part, its rows parsed into samples, its media fetched and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.run.stages.rows import Rows, parts_of
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import SampleStep, ShardStep, Step, TableStep
from gristmill.spec.task import ShardInfo, Task, TaskRecord

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "RetryDecision", "Samples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """Holds what a retry round asks for again in one part: rows lost for these reasons, and how many each had."""

    reasons: tuple[str, ...]
    retried: dict[str, int]


@dataclass(slots=True, kw_only=True)
class _Part:
    """One part over the rounds: what failed so far, and its indexes."""

    shard: ShardInfo
    failed: Counter[str] = field(default_factory=Counter)
    indexes: list[ShardInfo] = field(default_factory=list)

    def take(self, record: TaskRecord) -> None:
        """Take in what a round made of it."""
        self.failed.update(record.dropped)
        self.failed.subtract(record.retried)
        self.indexes += [shard for shard in record.outputs if shard.role == "index"][:1]


class Samples(Stage[SampleStep | ShardStep]):
    """One part, made into samples."""

    name = "samples"
    account = "making"
    verb = "crawl"
    rank = 6
    follows = Rows.name
    by_portions = True

    def __init__(
        self, steps: Sequence[SampleStep | ShardStep], recipe_steps: Sequence[Step], version: str
    ) -> None:
        super().__init__(steps, recipe_steps, version)
        self._identities: dict[int, str] = {}  # by round: media may have come since
        self._first: dict[
            tuple[int, int, str], Task
        ] = {}  # of the first round, until they are asked for again
        self._parts: dict[tuple[int, int], _Part] = {}  # where there are later rounds
        self._unread: dict[int, list[Task]] = {}

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """All over samples, perhaps none, where a table is read."""
        reads = steps and isinstance(steps[0], TableStep)
        return [step for step in steps if isinstance(step, SampleStep | ShardStep)] if reads else None

    @property
    def divided(self) -> bool:
        """All the time and the network go into these."""
        return True

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on the index of each part; in a retry round of those that lost something for its reasons."""
        if round_:
            for position, n in [place for place in self._parts if place[0] in plan.span]:
                part = self._parts[position, n]
                if (task := self._again((round_, position, n), part, plan)) is not None:
                    plan.want(task)
        async for made in upstream:
            place = made.number[1:]
            task = self._again(made.number, self._parts[place], plan) if round_ else self._taken(made, plan)
            if task is not None:
                record = await plan.done(task)
                if plan.config.rounds:
                    self._parts.setdefault(place, _Part(shard=made.shard)).take(record)
                if (index := record.output("index")) is not None:
                    yield Made(number=record.number, shard=index, facts=record.facts)

    def follow(self, record: TaskRecord, plan: Plan) -> None:
        """A file is read: its parts can be worked on."""
        position = record.number[1]
        parts = parts_of(record)
        if parts and position in plan.span:
            tasks = [self._first_task((0, position, n), part, plan) for n, part in enumerate(parts)]
            for task in tasks:
                plan.want(task)
            if self._points_into_files:
                self._unread[position] = tasks[::-1]

    def _taken(self, made: Made, plan: Plan) -> Task:
        """The task of the first round over a part, which nobody asks for once more."""
        task = self._first_task(made.number, made.shard, plan)
        del self._first[(*made.number[1:], made.shard.digest)]
        return task

    def _first_task(self, number: tuple[int, int, int], part: ShardInfo, plan: Plan) -> Task:
        place = (*number[1:], part.digest)
        task = self._first.get(place)
        if task is None:
            task = Task(stage=self.name, number=number, inputs=(part,), identity=self._identity_in(0, plan))
            self._first[place] = task
        return task

    def _identity_in(self, round_: int, plan: Plan) -> str:
        """With what the tasks of a round read besides their rows."""
        if round_ not in self._identities:
            files = sorted(file.digest for file in (*plan.config.aux, *plan.config.media_in(round_)))
            self._identities[round_] = self.identity + ("".join(["+", *files]) if files else "")
        return self._identities[round_]

    def _again(self, number: tuple[int, int, int], part: _Part, plan: Plan) -> Task | None:
        """The task of a later round over a part; None if nothing of it failed for those reasons."""
        reasons = plan.config.rounds[number[0] - 1]
        retried = {reason: n for reason, n in (+part.failed).items() if reason in reasons}
        if not retried:
            return None
        return Task(
            stage=self.name,
            number=number,
            inputs=(part.shard, *part.indexes),
            identity=self._identity_in(number[0], plan),
            decision=RetryDecision(reasons=tuple(sorted(reasons)), retried=retried),
        )

    @property
    def _points_into_files(self) -> bool:
        table = self.recipe_steps[0]
        return isinstance(table, TableStep) and table.keeps_source

    def rows(self, task: Task) -> int:
        """Those of its part; in a retry round those that are asked for again."""
        again = task.decision
        return sum(again.retried.values()) if isinstance(again, RetryDecision) else task.inputs[0].samples

    def spent(self, record: TaskRecord, plan: Plan) -> bool:
        """Say so once all parts that point into the annotation file are done."""
        left = self._unread.get(record.number[1])
        while left and plan.has(left[-1]):
            left.pop()
        return left == []

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Parse the part's rows, take them through the steps."""
        from gristmill.run.stages._samples import run_samples

        run_samples(self.steps, recipe, task, context, work)


STAGE = Samples
