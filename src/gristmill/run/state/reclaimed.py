"""Files that are no longer needed: noted in the ledger before they go, also where the disk is full.

A note needs a few bytes. If the disk has none left, a file is renamed, so that it is known for what it is, and
emptied: there is room for the note then. Whoever opens the folder after a kill in between takes the note from the
name.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from gristmill.ledger.ledger import Ledger
from gristmill.run.state.layout import Layout

__all__ = ["note_set_aside", "remove_released"]

_SUFFIX = ".released"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def remove_released(paths: Sequence[Path], layout: Layout, ledger: Ledger) -> None:
    """Note that files are no longer needed, and remove them.

    Raises:
        OSError: As the system says.
    """
    aside = _set_aside(layout)
    names = [layout.relative(path) for path in (*paths, *map(_named, aside))]
    waiting = sorted(paths, key=lambda path: path.stat().st_size)
    while True:
        try:
            ledger.release(names)
            break
        except OSError as err:
            if err.errno not in _FULL or not waiting:
                raise
            path = waiting.pop()
            aside.append(path.rename(path.with_name(path.name + _SUFFIX)))
            with aside[-1].open("wb"):  # emptied
                pass
    for path in (*paths, *aside):
        path.unlink(missing_ok=True)


def note_set_aside(layout: Layout, ledger: Ledger) -> None:
    """Finish what a kill interrupted."""
    if aside := _set_aside(layout):
        ledger.release([layout.relative(_named(path)) for path in aside])
        for path in aside:
            path.unlink()


def _set_aside(layout: Layout) -> list[Path]:
    folders = (layout.state / "crawled", layout.scattered_folder)
    return [path for folder in folders for path in sorted(folder.glob(f"*{_SUFFIX}"))]


def _named(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_SUFFIX))
