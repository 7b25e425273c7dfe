"""A mixture's schedule: finished shards of its parts to shards of its own."""

from __future__ import annotations

from gristmill.ledger.ledger import Ledger, uncollected
from gristmill.ledger.run_config import RunConfig
from gristmill.run.planning.decisions import Share
from gristmill.run.planning.pipeline import KEYS, PACK, SCATTER, Stages
from gristmill.run.planning.queue import TaskQueue
from gristmill.run.planning.schedule import Schedule
from gristmill.run.planning.shuffle import ShuffleTasks
from gristmill.run.state.layout import Layout
from gristmill.spec.errors import RecipeError
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo, TaskRecord

__all__ = ["MixtureSchedule", "schedule_for"]


def schedule_for(
    stages: Stages, config: RunConfig, ledger: Ledger, layout: Layout, span: range, last: str = PACK
) -> TaskQueue:
    """The schedule of a dataset or of a mixture; see :class:`Schedule`."""
    if stages.table is None:
        return MixtureSchedule(stages, config, ledger, span, last)
    return Schedule(stages, config, ledger, layout, span, last)


class MixtureSchedule(TaskQueue):
    """The tasks of one mixture.

    Args:
        span: Positions of the parts' shards that this process scatters; anybody gathers.
    """

    def __init__(
        self, stages: Stages, config: RunConfig, ledger: Ledger, span: range, last: str = PACK
    ) -> None:
        super().__init__(ledger, last)
        if stages.shuffle is None:
            raise RecipeError(f"{config.name}: a mixture's only step shuffles")
        self._span = span
        self._shuffle_tasks = ShuffleTasks(stages.shuffle, stages)
        seen: dict[str, int] = {}
        for position, file in enumerate(config.inputs):
            first = seen.get(file.source, 0)
            samples = file.samples or 0
            shard = ShardInfo(
                path=file.name, role="source", samples=samples, size_bytes=file.size_bytes, digest=file.digest
            )
            taken, share = _share(config.parts[file.source], first, samples)
            self._shuffle_tasks.add(
                (0, position, 0), shard, taken, config.parts[file.source]["prefix"] or "", share
            )
            seen[file.source] = first + samples
        with uncollected():
            self._advance()

    @property
    def prescanning(self) -> bool:
        """Nothing can be gathered before all is scattered."""
        return not self.settled

    def absorb(self, record: TaskRecord) -> None:
        """Take note of a task done, here or by another process."""
        if record.stage in (SCATTER, KEYS):
            self._advance()

    def _advance(self) -> None:
        if self.settled or not self.scatter(self._shuffle_tasks, self._span):
            return
        keys = self._shuffle_tasks.keys(self._ledger.records)
        if keys.id not in self.fed:
            self.fed.add(keys.id)
            self._push_unless_done(keys)
        if keys.id in self._ledger.records:
            self.gather(self._shuffle_tasks)
            self.settled = True


def _share(part: Json, first: int, samples: int) -> tuple[int, Share | None]:
    """How many samples a shard gives whose first is the part's ``first``, and by what share if not all."""
    taken, of = part["taken"], part["samples"]
    if taken == of:
        return samples, None
    share = Share(first=first, taken=taken, of=of)
    return (first + samples) * taken // of - first * taken // of, share
