"""A site that takes us for a robot, or is asked too much, is left alone by all workers, for longer each time.

Until when stands in a file, so that a command that is given too soon asks for nothing. Pages that were refused so are
not lost by it: they are asked for again. Only one at which a site shuts again and again is given up.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gristmill.storage.files import machine_error

__all__ = ["Pauses", "site_of"]

FIRST_S = 900.0
LONGEST_S = 6 * 3600.0
MOST_OVER_ONE_PAGE = 3
_MOST_PAGES = 1_000


@dataclass(slots=True)
class _State:
    """What stands in a site's file.

    Attributes:
        until_s: Unix time before which it is not asked.
        times: Pauses in a row, without a video in between.
        pages: How often it shut over which page.
    """

    until_s: float = 0.0
    times: int = 0
    pages: dict[str, int] = field(default_factory=dict)


class Pauses:
    """The pauses of all sites.

    Args:
        folder: Shared by all workers, and by later commands.
        clock: Unix time.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock

    def left_s(self, site: str) -> float:
        """Seconds until a site may be asked again; 0 if it may now."""
        with self._held(site) as stream:
            left = _read(stream).until_s - self._clock()
        return left if 0 < left <= LONGEST_S else 0.0  # more comes from a clock that was set otherwise

    def shut(self, site: str, page: str) -> float:
        """A site shut over a page. Returns for how many seconds it is left alone; 0: the page is to be given up."""
        with self._held(site) as stream:
            state = _read(stream)
            over = state.pages.pop(page, 0) + 1
            if over < MOST_OVER_ONE_PAGE:
                state.pages[page] = over
                state.pages = dict(list(state.pages.items())[-_MOST_PAGES:])
                pause_s = min(FIRST_S * 2.0 ** min(state.times, 16), LONGEST_S)
                state.times, state.until_s = state.times + 1, self._clock() + pause_s
            else:
                pause_s = 0.0
            _write(stream, state)
        return pause_s

    def gave(self, site: str) -> None:
        """A video came from a site."""
        with self._held(site) as stream:
            if _read(stream) != _State():
                _write(stream, _State())

    @contextmanager
    def _held(self, site: str) -> Iterator[IO[str]]:
        path = self._folder / f"{re.sub(r'[^a-z0-9.-]', '_', site)}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield stream
        except OSError as err:
            raise machine_error(err, path) from err


def site_of(host: str) -> str:
    """The site that a host belongs to, as far as pauses go: ``www.``, ``m.`` and the like left out."""
    host = re.sub(r"^(?:www|m|mobile|music)\.", "", host)
    return {"youtu.be": "youtube.com", "youtube-nocookie.com": "youtube.com"}.get(host, host)


def _read(stream: IO[str]) -> _State:
    """What stands there; a file that was cut off by a kill is none."""
    stream.seek(0)
    try:
        told: Any = json.loads(stream.read() or "{}")
        pages = {str(page): int(times) for page, times in dict(told.get("pages", {})).items()}
        return _State(float(told.get("until_s", 0)), int(told.get("times", 0)), pages)
    except (ValueError, TypeError, AttributeError):
        return _State()


def _write(stream: IO[str], state: _State) -> None:
    stream.seek(0)
    stream.truncate()
    json.dump({"until_s": state.until_s, "times": state.times, "pages": state.pages}, stream)
    stream.flush()
