"""A dataset that waits for what only a person can fetch: its other media sources are made ready meanwhile.

There is no folder of the dataset yet that says which of them it needs. ``DIR/sources/.waiting/NAME`` says so until
there is: the paths below ``DIR/sources`` of what was fetched and indexed for it, one a line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gristmill.ledger.words import count_text, size_text
from gristmill.run.inputs.local_media import to_fetch
from gristmill.run.inputs.media import MediaFiles, Watch, media_of, shared_folder
from gristmill.run.inputs.resolve import Resolved
from gristmill.spec.errors import ByHandSource, SourceError
from gristmill.spec.recipe import Recipe
from gristmill.storage.files import write_whole
from gristmill.storage.inside import read_regular
from gristmill.storage.store import Place, store_at

__all__ = ["WAITING", "needed_by_waiting", "notes_of_waiting", "refuse_while_waiting"]

WAITING = ".waiting"
_SAID_EVERY_S = 30.0


class _Watch(Watch):
    """Tells now and then how much is fetched, and ends where the caller's check raises."""

    def __init__(self, media: MediaFiles, check: Callable[[], None], say: Callable[[str], None]) -> None:
        self._key, self._check, self._say = media.source.key, check, say
        self._size = sum(file.size_bytes for file in media.files)
        self._have: dict[str, int] = {}
        self._said_at = time.monotonic()

    def check(self) -> None:
        """See :class:`gristmill.run.inputs.media.Watch`."""
        self._check()

    def fetched(self, name: str, have_bytes: int) -> None:
        """See :class:`gristmill.run.inputs.media.Watch`."""
        self._have[name] = have_bytes
        if time.monotonic() - self._said_at >= _SAID_EVERY_S:
            self._said_at = time.monotonic()
            have = sum(list(self._have.values()))
            self._say(f"{self._key}: {size_text(have)} of {size_text(self._size)} fetched")


def refuse_while_waiting(
    recipe: Recipe, resolved: Resolved, place: Place, check: Callable[[], None], say: Callable[[str], None]
) -> None:
    """Refuse a dataset of which a source waits for a person, once its other media sources are there and indexed.

    They lie in ``DIR/sources``, with a note that keeps them from being cleaned away; no folder is made for the
    dataset. One that cannot be fetched is told, and does not keep the others from it.

    Args:
        recipe: Names its sources.
        resolved: Their files, as far as they were found.
        place: The dataset's.
        check: Called often; raises where all is to end.
        say: Takes a sentence for a person.

    Raises:
        ByHandSource: A source waits; it says for what, and what to do.
        GristmillError: Whatever ``check`` raises.
        MachineError: The disk is full, or the like.
    """
    if not resolved.waiting:
        return
    shared = shared_folder(place)
    told = "\n".join(to_fetch(recipe.source(key), shared, recipe.elsewhere) for key in resolved.waiting)
    waits = f"{recipe.public_name} waits for what only a person can fetch:\n{told}"
    others = media_of(recipe, resolved.media, resolved.remotes, shared, store_at(place))
    if others:
        needed = [path.relative_to(shared) for media in others for path in _made_for(media)]
        write_whole(shared / WAITING / _name(place), "".join(f"{path}\n" for path in needed).encode())
    if any(not media.is_here(file) for media in others for file in media.files):
        say(f"{waits}\nWhat else it needs is fetched meanwhile.")
    for media in others:
        try:
            found = media.prepare(_Watch(media, check, say))
        except SourceError as err:
            say(str(err))
        else:
            members = sum(archive["members"] for archive in found["archives"])
            say(f"{media.source.key} is there, with {count_text(members, 'member')}.")
    raise ByHandSource(f"{waits}\nThen give the same command again.")


def notes_of_waiting(shared: Path) -> list[Path]:
    """List the notes of the datasets that wait, each by the name that its dataset's folder will have."""
    folder = shared / WAITING
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def needed_by_waiting(note: Path) -> list[Path]:
    """Read what was fetched and indexed for a dataset that waits, or is being fetched.

    Raises:
        DamagedOutput: The note is no regular file.
        OSError: As the system says.
    """
    shared = note.parent.parent
    return [shared / line for line in read_regular(note).decode("utf-8", "replace").splitlines()]


def _made_for(media: MediaFiles) -> Iterator[Path]:
    yield media.folder
    yield from map(media.index, media.archives)
    yield media.catalog


def _name(place: Place) -> str:
    return store_at(place).title
