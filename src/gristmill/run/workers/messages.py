"""What executors and worker processes say to one another: descriptions of work, never media."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from gristmill.ledger.run_config import InputFile
from gristmill.run.state.context import Context, Progress
from gristmill.spec.errors import GristmillError
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Task, TaskRecord
from gristmill.storage.store import Store

__all__ = ["Beat", "Careful", "Failed", "Finished", "Hello", "WorkerStart"]

_BEAT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStart:
    """Holds what all tasks of a run share; the first message to a worker.

    Attributes:
        load: Finds and builds the recipe.
        store, remotes, aux, media, only, first, grace_s: See :class:`Context`.
        beat_s: Seconds from one sign of life to the next.
        arrow_pool: Where Arrow takes its memory from.
    """

    load: Callable[[], Recipe]
    store: Store
    inputs: tuple[InputFile, ...]
    remotes: dict[str, str]
    only: int | None
    first: int = 0
    grace_s: float = 0.0
    aux: tuple[InputFile, ...] = field(default_factory=tuple)
    media: tuple[InputFile, ...] = field(default_factory=tuple)
    beat_s: float = _BEAT_S
    arrow_pool: str = "system"

    def context(self, tell: Callable[[Progress], None], stop: Event | None = None) -> Context:
        """The circumstances of the tasks of one process, on whose machine sources lie where it has room for them.

        Args:
            tell: Where progress goes.
            stop: Ends tasks early once it is set; one of the process's own if None.
        """
        # loads Arrow, which whoever only hands this on need not
        from gristmill.run.inputs.media import shared_folder

        return Context(
            store=self.store,
            inputs=self.inputs,
            remotes=self.remotes,
            aux=self.aux,
            media=self.media,
            shared=shared_folder(self.store),
            only=self.only,
            first=self.first,
            grace_s=self.grace_s,
            tell=tell,
            stop=stop or Event(),
        )


@dataclass(frozen=True, slots=True)
class Hello:
    """The worker is ready."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The worker's interpreter runs: it is neither stopped nor lost in native code.

    Attributes:
        fill: How full its crawler is, from 0 to 1; 1 too where its memory is.
        moves: Whether something got further since the last one: a task, bytes read or written, or answers that its
            crawler waits for.
        cpu_s: Processor seconds that it has used so far.
        unanswered: Media aboard that wait for hosts which have answered nothing yet, and may never; 0 where its
            memory is full.
    """

    fill: float
    moves: bool
    cpu_s: float = 0.0
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Careful:
    """A task that was aboard a worker that died.

    Attributes:
        killed: By SIGKILL, and not ours: short of memory the kernel sends it, or a person.
    """

    task: Task
    killed: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A task is done, but for its record."""

    task: Task
    record: TaskRecord


@dataclass(frozen=True, slots=True)
class Failed:
    """A task failed or was stopped."""

    task: Task
    error: GristmillError
