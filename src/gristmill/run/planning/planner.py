"""The planner keeps the tasks that are known and gives out the next one. Files in ``run/stages`` say what follows.

Annotation files are worked on in order and one after another, so that disk need not hold all of them: a task
nearer to a finished shard always goes before one that opens another file.
"""

from __future__ import annotations

import gc
import heapq
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.planning.stage import Made, Stage
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import ShardInfo, Task, TaskRecord

__all__ = ["Planner"]


class Planner:
    """The tasks of one dataset or mixture: a heap of those that can be done, and one walk that finds out the rest.

    The walk is a coroutine through all stages, in the dataset's order. Where it lacks a record (``await done(task)``)
    it rests until that record comes. Whatever order records come in, it so sees the same.

    Args:
        recipe: Whose tasks they are.
        config: What the folder was begun with.
        ledger: What is done.
        span: Positions of the inputs that this process works on; all if None. Every process walks through all.
        last: The last stage to work on; all if None.
        share: This process's of so many, from 1 on: see :attr:`Stage.divided`. It does all if None.

    Of a task that is done no more is kept than its id: there may be a million.

    Attributes:
        settled: No more will become known.
        share: As given.
        rows_left: Rows of known tasks that make samples of them, that fall to this process and are not done.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: RunConfig,
        ledger: Ledger,
        span: range | None = None,
        last: str | None = None,
        share: tuple[int, int] | None = None,
    ) -> None:
        self.config, self.store = config, ledger.store
        self.span = range(len(config.inputs)) if span is None else span
        self.settled = False
        self._stages, self._ledger = Pipeline(recipe), ledger
        self.share, self.rows_left = share, 0
        self._least_rank = 0 if last is None else self._stages[last].rank
        self._heap: list[tuple[bool, int, bool, tuple[int, int, int], str, Task]] = []
        self._followed = {stage.follows for stage in self._stages}
        self._known: set[str] = set()
        self._wanted: set[str] = set()
        self._left: dict[str, Task] = {}
        self._awaited: Task | None = None
        self._walking = self._walk()
        with _uncollected():
            self._go_on()

    async def _walk(self) -> None:
        for round_ in range(len(self.config.rounds) + 1):
            made = self._inputs(round_)
            for stage in self._stages:
                made = stage.flow(made, round_, self)
            async for _ in made:
                pass
        for stage in self._stages:
            stage.end(self)

    async def _inputs(self, round_: int) -> AsyncIterator[Made]:
        for position, file in enumerate(self.config.inputs):
            shard = ShardInfo(
                path=file.name,
                role="source",
                samples=file.samples or 0,
                size_bytes=file.size_bytes,
                digest=file.digest,
            )
            yield Made(number=(round_, position, 0), shard=shard)

    def _go_on(self) -> None:
        """Walk until a record is lacking."""
        while not self.settled and (self._awaited is None or self.has(self._awaited)):
            try:
                self._awaited = self._walking.send(None)
            except StopIteration:
                self.settled = True

    def want(self, task: Task) -> None:
        """See :class:`gristmill.run.planning.stage.Plan`."""
        if task.id in self._wanted:
            return
        self._know(task)
        if self.has(task):
            if task.stage in self._followed:
                self._follow(self._ledger.records[task.id])
            return
        self._wanted.add(task.id)
        if self._is_due(task):
            self.rows_left += self._rows(task)
            self.push(task)

    def knows(self, task_id: str) -> bool:
        """Say whether there is such a task, done or not."""
        return task_id in self._known

    def _know(self, task: Task) -> None:
        self._known.add(task.id)
        if not self.has(task):
            self._left.setdefault(task.id, task)

    def is_due(self, task_id: str) -> bool:
        """Say whether a task falls to this process and is not done."""
        task = self._left.get(task_id) if task_id in self._wanted else None
        return task is not None and self._is_due(task)

    def _is_due(self, task: Task) -> bool:
        return self._stages[task.stage].rank >= self._least_rank and self._is_ours(task)

    def _rows(self, task: Task) -> int:
        stage = self._stages[task.stage]
        return stage.rows(task) if stage.account == "making" else 0

    def _is_ours(self, task: Task) -> bool:
        """Whether this process may do a task: by its id, which depends on neither time nor place."""
        return not self._stages[task.stage].divided or self._falls_to_us(task)

    def _falls_to_us(self, task: Task) -> bool:
        number, of = self.share or (1, 1)
        return int(task.id, 16) % of == number - 1

    async def done(self, task: Task) -> TaskRecord:
        """See :class:`gristmill.run.planning.stage.Plan`."""
        self._know(task)
        if not self.has(task):
            await _Record(task)
        return self._ledger.records[task.id]

    def has(self, task: Task) -> bool:
        """See :class:`gristmill.run.planning.stage.Plan`."""
        return task.id in self._ledger.records

    def absorb(self, record: TaskRecord) -> None:
        """Take note of a task done, here or by another process."""
        if record.task_id in self._known:
            if self.is_due(record.task_id):
                self.rows_left -= self._rows(self._left[record.task_id])
            self._left.pop(record.task_id, None)
            self._wanted.discard(record.task_id)
            self._follow(record)
        self._go_on()

    def _follow(self, record: TaskRecord) -> None:
        for stage in self._stages:
            if stage.follows == record.stage:
                stage.follow(record, self)

    def pop(self) -> Task | None:
        """The next task that is not done; None if there is none just now."""
        while self._heap:
            task = heapq.heappop(self._heap)[-1]
            if not self.has(task):
                return task
        return None

    def push(self, task: Task) -> None:
        """A task to be done (again); those of other processes' inputs come after all of one's own."""
        rank, others = self._stages[task.stage].rank, task.number[1] not in self.span
        heapq.heappush(self._heap, (self.may_be_done_twice(task), rank, others, task.number, task.id, task))

    def may_be_done_twice(self, task: Task) -> bool:
        """Say whether another share may do a task at the same time, and rather: where no lease is seen by all.

        Such a task comes last: what all may do is so divided too, and done by others only where a share is missing.
        """
        return self.share is not None and self.store.local is None and not self._falls_to_us(task)

    @property
    def stages(self) -> Iterator[Stage[Any]]:
        """Those that the dataset goes through, in order."""
        return iter(self._stages)

    def stage(self, task: Task) -> Stage[Any]:
        """The stage that a task is of."""
        return self._stages[task.stage]

    @property
    def waiting(self) -> int:
        """Tasks known and not given out."""
        return len(self._heap)

    def hangs_on(self, elsewhere: Iterable[Task]) -> bool:
        """Say whether tasks that other processes do are to be waited for, as work for this one follows from them.

        Either nobody knows what follows before tasks of every input are done, or tasks that commands divide among
        them come after theirs.
        """
        if self.settled or self._awaited is None:
            return False
        if self._stages[self._awaited.stage].awaited_by_all:
            return any(True for _ in elsewhere)
        least = min((stage.rank for stage in self._stages if stage.divided), default=None)
        return least is not None and any(self.stage(task).rank > least for task in elsewhere)

    @property
    def complete(self) -> bool:
        """Nothing is left to be done by anybody."""
        return self.settled and all(task_id in self._ledger.records for task_id in self._known)

    def spent(self, record: TaskRecord) -> str | None:
        """The annotation file that nobody needs any more now that ``record`` is there, if it is one."""
        spent = self._stages[record.stage].spent(record, self)
        return self.config.inputs[record.number[1]].name if spent else None

    def needed(self) -> set[str]:
        """Paths of files whose bodies tasks not done yet will read."""
        left = (task for task in self._left.values() if not self.has(task))
        return {
            shard.path
            for task in left
            if self._stages[task.stage].reads_bodies(task)
            for shard in task.inputs
        }


class _Record:
    """What the walk waits for."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __await__(self) -> Generator[Task, None, None]:
        yield self._task


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking through tasks again and again while they are made.

    None of them is part of a cycle; with a hundred thousand the walks cost more than the planning. What was made is
    then frozen, so that the first walk afterwards passes it over, too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.freeze()
            gc.enable()
