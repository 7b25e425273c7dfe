"""What is to be done next: from inputs to parts to samples to shards, as soon as each is possible.

Annotation files are worked on in order and one after another, so that disk need not hold all of them: a task
nearer to a finished shard always goes before one that opens another file.
"""

from __future__ import annotations

from collections.abc import Sequence

from gristmill.ledger.ledger import Ledger, uncollected
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import failing
from gristmill.run.planning.decisions import FileDecision, PackDecision, RetryDecision
from gristmill.run.planning.global_filter import FilterTasks
from gristmill.run.planning.pipeline import PACK, PRESCAN, ROWS, SAMPLES, Stages
from gristmill.run.planning.prescans import Prescans
from gristmill.run.planning.queue import TaskQueue
from gristmill.run.planning.shuffle import ShuffleTasks
from gristmill.run.planning.unique_keys import UniqueKeys
from gristmill.run.state.indexes import sizes_of
from gristmill.run.state.layout import Layout
from gristmill.spec.barrier import Barrier, Decider, Group, Summary
from gristmill.spec.step import PrescanStep
from gristmill.spec.task import ShardInfo, Task, TaskRecord

__all__ = ["Schedule"]


class Schedule(TaskQueue):
    """The tasks of one dataset.

    Args:
        span: Input positions that this process works on; packing looks at all.
        last: The last stage to work on.
    """

    def __init__(
        self, stages: Stages, config: RunConfig, ledger: Ledger, layout: Layout, span: range, last: str = PACK
    ) -> None:
        super().__init__(ledger, last)
        self._stages, self._begun, self._layout, self._span = stages, config, layout, span
        self._round = self._position = self._part = 0
        self._first_samples: int | None = None
        self._first_round: dict[tuple[int, int, str], Task] = {}  # crawl tasks: each is needed twice
        self._entered = False
        aux = sorted(side.digest for side in config.aux)
        self._identity = stages.identity(SAMPLES) + ("".join(["+", *aux]) if aux else "")
        prescanning = isinstance(stages.table, PrescanStep)
        self._filter = FilterTasks(stages, ledger, self._push_unless_done)
        self._collecting = self._filter.decisive
        self._unique = UniqueKeys(stages, ledger, self._push_unless_done)
        self._prescans = Prescans(stages, config.inputs, ledger, self._source) if prescanning else None
        self._begin_round()
        with uncollected():
            if self.prescanning:
                self._push_prescans()
            else:
                self._enter_span()
            self._advance()

    def absorb(self, record: TaskRecord) -> None:
        """Take note of a task done, here or by another process."""
        position = record.number[1]
        if record.stage == PRESCAN and not self.prescanning and not self._entered:
            self._enter_span()
        if record.stage == ROWS and position in self._span:
            self._enter_parts(position, record, 0)
        self._advance()

    def _rank(self, task: Task) -> int:
        """Surveys of files that other processes work on come after all of one's own."""
        return super()._rank(task) + (task.stage == PRESCAN and task.number[1] not in self._span)

    @property
    def prescanning(self) -> bool:
        """Rows cannot be chosen yet: some annotation file has still to be surveyed, here or elsewhere."""
        return self._prescans is not None and bool(self._prescans.missing())

    def spent(self, record: TaskRecord) -> str | None:
        """The annotation file that nobody needs any more now that ``record`` is there, if it is one."""
        position, keeps = record.number[1], self._stages.table is not None and self._stages.table.keeps_source
        if record.stage == ROWS and not keeps:
            return self._begun.inputs[position].name
        if record.stage != SAMPLES or not keeps:
            return None
        rows = self._ledger.records.get(self.rows_task(position).id)
        if rows is None:
            return None
        tasks = (self._samples_task(0, (position, n), part) for n, part in enumerate(parts_of(rows)))
        done = all(task is not None and task.id in self._ledger.records for task in tasks)
        return self._begun.inputs[position].name if done else None

    @property
    def complete(self) -> bool:
        """Nothing is left to be done by anybody."""
        return super().complete and self._filter.complete

    @property
    def judged(self) -> set[str]:
        """Ids of the tasks of a census, and of those that compare keys."""
        return {*self._filter.tasks, *self._unique.tasks}

    def _push_prescans(self) -> None:
        if self._prescans is not None:
            for position in self._prescans.missing():
                self._push_unless_done(self._prescans.tasks[position])

    def _enter_span(self) -> None:
        self._entered = True
        for position in self._span:
            self._enter(position)

    def _enter(self, position: int) -> None:
        task = self.rows_task(position)
        record = self._ledger.records.get(task.id)
        if record is None:
            self._push_unless_done(task)
        else:
            self._enter_parts(position, record, 0)

    def _enter_parts(self, position: int, record: TaskRecord, round_: int) -> None:
        for number, part in enumerate(parts_of(record)):
            task = self._samples_task(round_, (position, number), part)
            if task is not None:
                self._push_unless_done(task)

    def _source(self, position: int) -> ShardInfo:
        source = self._begun.inputs[position]
        return ShardInfo(
            path=source.name, role="source", samples=0, size_bytes=source.size_bytes, digest=source.digest
        )

    def rows_task(self, position: int) -> Task:
        """The task over one annotation file; where files are surveyed, only once all are."""
        prescan = self._prescans.decision(position) if self._prescans is not None else None
        return Task(
            stage=ROWS,
            number=(0, position, 0),
            inputs=(self._source(position),),
            identity=self._stages.identity(ROWS),
            decision=FileDecision(only=self._begun.only, prescan=prescan),
        )

    def _samples_task(self, round_: int, place: tuple[int, int], part: ShardInfo) -> Task | None:
        """The task over one part; in a retry round None if none of its media failed for those reasons."""
        number = (round_, *place)
        identity = self._identity
        if round_ == 0:
            task = self._first_round.get((*place, part.digest))
            if task is None:
                task = Task(stage=SAMPLES, number=number, inputs=(part,), identity=identity)
                self._first_round[*place, part.digest] = task
            return task
        earlier = [one for r in range(round_) if (one := self._samples_task(r, place, part)) is not None]
        records = [record for one in earlier if (record := self._ledger.records.get(one.id)) is not None]
        reasons = self._begun.rounds[round_ - 1]
        retried = {reason: n for reason, n in failing(records).items() if reason in reasons}
        if not retried:
            return None
        indexes = [index for record in records if (index := record.output("index")) is not None]
        return Task(
            stage=SAMPLES,
            number=number,
            inputs=(part, *indexes),
            identity=identity,
            decision=RetryDecision(reasons=tuple(sorted(reasons)), retried=retried),
        )

    def _advance(self) -> None:
        """Feed finished samples to the barrier, in the dataset's order, as far as they are finished."""
        while not self.settled and self._entered:
            if self._position == len(self._begun.inputs):
                if not self._end_walk():
                    return
                continue
            rows = self._ledger.records.get(self.rows_task(self._position).id)
            if rows is None or not self._feed_file(rows):
                return
            self._position, self._part = self._position + 1, 0

    def _feed_file(self, rows: TaskRecord) -> bool:
        """Feed what is finished of one annotation file; False if it is not all."""
        parts = parts_of(rows)
        while self._part < len(parts):
            task = self._samples_task(self._round, (self._position, self._part), parts[self._part])
            if task is not None:
                record = self._ledger.records.get(task.id)
                if record is None:
                    return False
                if self._collecting:
                    self._filter.collect(record)
                elif not self._feed(record):
                    return False
            self._part += 1
        return True

    def _feed(self, record: TaskRecord) -> bool:
        """Feed one finished crawl task; False if a census has still to sift it, or its keys are to be compared."""
        screened = self._filter.screened(record)
        if screened is None:
            return False
        index = screened.output("index")
        if index is not None and index.samples and record.facts.get("named"):
            index = self._unique.without_repeats(record.number, index)
            if index is None:
                return False
        if not self._filter.decisive:
            self._filter.collect(record)
        self.fed.add(record.task_id)
        if index is not None and self._shuffle_tasks is not None:
            self._shuffle_tasks.add(record.number, index)
        elif index is not None and self._decider is not None:
            summary = Summary(shard=index, sizes=lambda: sizes_of(self._layout.folder, index))
            self._settle(self._decider.feed(summary))
        return True

    def _end_walk(self) -> bool:
        """The last annotation file is done. Where a census decides, they are walked through twice.

        Returns:
            There is something to go on with.
        """
        if not self._collecting:
            return self._end_round()
        if not self._filter.settle(self._round):
            return False
        self._collecting, self._position, self._part = False, 0, 0
        return True

    def _begin_round(self) -> None:
        barrier, shuffle = self._stages.barrier, self._stages.shuffle
        self._decider: Decider | None = barrier.decider() if isinstance(barrier, Barrier) else None
        self._shuffle_tasks: ShuffleTasks | None = None
        if shuffle is not None:
            self._shuffle_tasks = ShuffleTasks(shuffle, self._stages, self._shards, self._first_samples)

    def _end_round(self) -> bool:
        """Settle the round's last shards and go on to the next; False while a shuffle still scatters."""
        if self._decider is not None:
            self._settle(self._decider.finish())
        if self._shuffle_tasks is not None:
            if not self.scatter(self._shuffle_tasks):
                return False
            self.gather(self._shuffle_tasks)
            self._first_samples = self._first_samples or self._shuffle_tasks.samples
        if self._round == len(self._begun.rounds):
            self.settled = True
            if not self._filter.decisive:
                self._filter.settle(self._round)
            return True
        self._round, self._position, self._part = self._round + 1, 0, 0
        self._collecting = self._filter.decisive
        self._begin_round()
        for position in self._span:
            record = self._ledger.records.get(self.rows_task(position).id)
            if record is not None:
                self._enter_parts(position, record, self._round)
        return True

    def _settle(self, groups: Sequence[Group]) -> None:
        for group in groups:
            slices = tuple((piece.start, piece.stop) for piece in group.slices)
            task = Task(
                stage=PACK,
                number=(self._round, 0, self._shards),
                inputs=tuple(piece.shard for piece in group.slices),
                identity=self._stages.identity(PACK),
                decision=PackDecision(slices=slices, drop=group.drop),
            )
            self._shards += group.drop is None
            self.packs[task.id] = task
            self._push_unless_done(task)


def parts_of(record: TaskRecord) -> list[ShardInfo]:
    """The parts that an annotation file was cut into, in order."""
    return [shard for shard in record.outputs if shard.role == "part"]
