"""The stage ``rows``: one annotation file, its rows given a fate or cut into parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gristmill.run.planning.stage import Made, Plan, Stage
from gristmill.spec.recipe import Recipe
from gristmill.spec.step import Step, TableStep
from gristmill.spec.task import ShardInfo, Task, TaskRecord, decided

if TYPE_CHECKING:
    from gristmill.run.state.context import Context, Work

__all__ = ["STAGE", "FileDecision", "Rows", "parts_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDecision:
    """Says how the rows of one annotation file are chosen.

    Attributes:
        only: Rows at most, of a small run.
        prescan: What the step decided for this file when it knew all; None where files are not prescanned.
    """

    only: int | None = None
    prescan: Any = None


class Rows(Stage[TableStep]):
    """One annotation file, read."""

    name = "rows"
    account = "reading"
    verb = "select"
    rank = 7

    def __init__(self, steps: Sequence[TableStep], recipe_steps: Sequence[Step], version: str) -> None:
        super().__init__(steps, recipe_steps, version)
        self._tasks: list[Task] = []

    @classmethod
    def steps_of(cls, steps: Sequence[Step]) -> Sequence[Any] | None:
        """The first, if it reads tables."""
        return steps[:1] if steps and isinstance(steps[0], TableStep) else None

    async def flow(self, upstream: AsyncIterator[Made], round_: int, plan: Plan) -> AsyncIterator[Made]:
        """Hand on the parts of each file, file after file."""
        if round_ == 0:
            aux = sorted(file.digest for file in plan.config.aux) if self.steps[0].takes_aux else []
            media = [file.digest for file in plan.config.media_in(0)] if self.steps[0].takes_media else []
            identity, only = "+".join([self.identity, *aux, *media]), plan.config.only
            async for made in upstream:
                decision = FileDecision(only=only, prescan=made.decision)
                self._tasks.append(
                    Task(
                        stage=self.name,
                        number=made.number,
                        inputs=(made.shard,),
                        identity=identity,
                        decision=decision,
                    )
                )
            for position in plan.span:
                plan.want(self._tasks[position])
        else:
            async for _ in upstream:  # media may have come that are indexed first
                pass
        for task in self._tasks:
            for n, part in enumerate(parts_of(await plan.done(task))):
                yield Made(number=(round_, task.number[1], n), shard=part)

    def spent(self, record: TaskRecord, plan: Plan) -> bool:
        """Once its rows lie in parts, unless these only point into it."""
        return not self.steps[0].keeps_source

    def work(self, recipe: Recipe, task: Task, context: Context, work: Work) -> None:
        """Let the step decide on the rows."""
        from gristmill.run.stages._rows import run_rows

        run_rows(self.steps[0], recipe, task, decided(task, FileDecision).prescan, context, work)


def parts_of(record: TaskRecord) -> list[ShardInfo]:
    """The parts that an annotation file was cut into, in order."""
    return [shard for shard in record.outputs if shard.role == "part"]


STAGE = Rows
