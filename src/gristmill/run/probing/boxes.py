"""Hands steps what they need while a sample is asked: they choose rows and fetch media as ever, nothing is kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import pyarrow as pa

from gristmill.spec.body import Body, Pointer
from gristmill.spec.errors import RecipeError, Stopped
from gristmill.spec.fate import Fate
from gristmill.spec.locator import Locator
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Sample

__all__ = ["EnoughRows", "ProbedMedia", "ProbedRows"]

R = TypeVar("R")


class EnoughRows(Exception):
    """So many rows were kept as are wanted: the rest of the file need not be read."""


@dataclass(slots=True)
class ProbedRows:
    """A :class:`gristmill.spec.step.TableContext` that holds the rows that a step keeps.

    Attributes:
        stop: Ends it.
        folder: An empty one.
        only: Rows to keep, after which :class:`EnoughRows` is raised; None for all.
        tables: What was kept, in order.
        kept: Rows of them.
        beyond: Rows that were chosen, and not wanted any more.
        dropped: Other rows, by reason.
    """

    stop: Event
    folder: Path
    only: int | None = None
    tables: list[pa.Table] = field(default_factory=list)
    kept: int = 0
    beyond: int = 0
    dropped: Counter[Reason] = field(default_factory=Counter)

    def expect(self, rows: int, part_rows: int | None = None, last_rows: int | None = None) -> None:
        """See :class:`gristmill.spec.step.TableContext`: there are no parts."""

    def keep(self, table: Any, rows: Any, groups: Any = None) -> None:
        """See :class:`gristmill.spec.step.TableContext`.

        Raises:
            EnoughRows: No more are wanted.
        """
        if table.num_rows:
            self.tables.append(table)
            self.kept += table.num_rows
        if self.only is not None and self.kept >= self.only:
            raise EnoughRows

    def cut(self) -> None:
        """See :class:`gristmill.spec.step.TableContext`: there are no parts."""

    def drop(self, rows: Any, reason: Reason, detail: str = "") -> None:
        """See :class:`gristmill.spec.step.TableContext`."""
        if reason is Reason.NOT_CHOSEN:
            self.beyond += len(rows)
        elif len(rows):
            self.dropped[reason] += len(rows)

    def note(self, text: str) -> None:
        """See :class:`gristmill.spec.step.TableContext`: of so few rows nothing is said."""

    def progress(self, done: int, total: int | None) -> None:
        """See :class:`gristmill.spec.step.TableContext`.

        Raises:
            Stopped: It is to stop.
        """
        if self.stop.is_set():
            raise Stopped("the probe was asked to stop")

    def scratch(self) -> AbstractContextManager[Path]:
        """See :class:`gristmill.spec.step.TableContext`."""
        return nullcontext(self.folder)

    def first_media(self, table: Any) -> Sequence[Locator | None]:
        """See :class:`gristmill.spec.step.TableContext`: rows stay in their order."""
        return [None] * len(table)

    def source(self, key: str) -> Any:
        """See :class:`gristmill.spec.step.TableContext`; there is none.

        Raises:
            RecipeError: Always.
        """
        raise _without_sources(key)


class ProbedMedia:
    """A :class:`gristmill.spec.step.MediaContext` that keeps what became of media, and lets go of their bytes.

    Args:
        folder: For locks and bodies on their way; it goes afterwards.
        stop: Ends it.
        tell: Told how many samples are finished.
    """

    attempt = 0
    grace_s = 3.0

    def __init__(self, folder: Path, stop: Event, tell: Callable[[int], None]) -> None:
        self.stop = stop
        self.shared = self.kept = folder
        self.fates: dict[tuple[int, str], Fate] = {}
        self._folder, self._tell = folder, tell
        self._resources: dict[Any, Any] = {}

    def done(self) -> Mapping[tuple[int, str], Fate]:
        """See :class:`gristmill.spec.step.MediaContext`."""
        return dict(self.fates)

    def portions(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """See :class:`gristmill.spec.step.MediaContext`."""
        yield samples

    def store(
        self, fate: Fate, body: Body | None, pointer: Pointer | None = None, pieces: Sequence[int] = ()
    ) -> None:
        """See :class:`gristmill.spec.step.MediaContext`; the body is let go."""
        fate.finished_at = time.time()
        self.fates[fate.row, fate.medium] = fate

    def scratch(self) -> Path:
        """See :class:`gristmill.spec.step.MediaContext`."""
        return self._folder

    def progress(self, done: int, reasons: Mapping[str, int], bytes_in: int) -> None:
        """See :class:`gristmill.spec.step.MediaContext`."""
        self._tell(done)

    def source(self, key: str) -> Any:
        """See :class:`gristmill.spec.step.MediaContext`; there is none.

        Raises:
            RecipeError: Always.
        """
        raise _without_sources(key)

    def resource(self, key: Any, make: Callable[[], R]) -> R:
        """See :class:`gristmill.spec.step.MediaContext`."""
        if key not in self._resources:
            self._resources[key] = make()
        made: R = self._resources[key]
        return made

    def close(self) -> None:
        """Close connections and decoders."""
        for one in self._resources.values():
            one.close()
        self._resources.clear()


def _without_sources(key: str) -> RecipeError:
    return RecipeError(
        f"a probe reads nothing of the media source {key!r}: it asks for what has an address alone"
    )
