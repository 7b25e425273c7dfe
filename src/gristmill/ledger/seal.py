"""``.gristmill/seal.json``: what was written last, so that what was altered or removed since then is told.

It holds the SHA-256 of the metadata files and of each journal of records as far as it went; journals only grow.
Whoever alters these and the seal as well cannot be told from the run itself.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO

import msgspec

from gristmill.ledger.ledger import LAGS_S, RECORDS, STATE, Ledger
from gristmill.spec.errors import DamagedOutput
from gristmill.storage.segments import bundled_in, line_of, segment_of
from gristmill.storage.store import Store

__all__ = ["SEAL", "broken", "seal"]

SEAL = f"{STATE}/seal.json"
"""Path of the seal below the dataset's folder."""

_CHUNK_BYTES = 1 << 20


class _Seal(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        files: Metadata file to its SHA-256: one, or while it is replaced of both; ``none`` for no file.
        journals: Name to how many bytes of it hold, and their SHA-256.
    """

    files: dict[str, tuple[str, ...]]
    journals: dict[str, tuple[int, str]]


def seal(
    ledger: Ledger,
    files: Mapping[str, Sequence[bytes | None]],
    journals: Mapping[str, tuple[int, str]] | None = None,
) -> Mapping[str, tuple[int, str]]:
    """Take down what the records say, and what metadata files may hold.

    Args:
        ledger: The records.
        files: Metadata file to its contents: what it has, and before that what it had; None for no file.
        journals: What this gave for the same ledger, so that its files need not be read once more.

    Returns:
        What it took down of the records.
    """
    digests = {
        name: tuple("none" if body is None else hashlib.sha256(body).hexdigest() for body in bodies)
        for name, bodies in files.items()
    }
    if journals is None:
        merged = _Journals(ledger.store)
        journals = {
            name.rpartition("/")[2]: (size, merged.digest(name, size))
            for name, size in sorted(ledger.read_to.items())
        }
    ledger.store.put(SEAL, msgspec.json.encode(_Seal(digests, dict(journals))))
    return journals


def broken(store: Store, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Say what is not as it was sealed: its place and a sentence.

    Args:
        store: Where the dataset lies.
        files: Names of its metadata files.
    """
    try:
        found = msgspec.json.decode(store.read(SEAL), type=_Seal)
    except FileNotFoundError:
        if any(store.size(name) is not None for name in files):
            yield SEAL, "is not there: what was altered since it was written cannot be known"
        return
    except (msgspec.DecodeError, RecursionError, DamagedOutput):
        yield SEAL, "is not what was written: what else was altered cannot be known"
        return
    for name in files:
        if name in found.files and (what := _changed(store, name, found.files[name])):
            yield name, f"{what} since it was written; the run's command, or --repair, writes it anew"
    journals = _Journals(store)
    for name, (size, digest) in sorted(found.journals.items()):
        place = f"{RECORDS}/{name}"
        try:
            if "/" not in name and journals.digest(place, size) == digest:
                continue
            what = "lines of it were altered or removed"
        except FileNotFoundError:
            what = "it is gone"
        except (OSError, ValueError, DamagedOutput) as err:
            what = str(err)
        yield (
            place,
            f"is not what was written: {what}. Restore it from a copy, or begin anew in another folder",
        )


def _changed(store: Store, name: str, digests: Sequence[str]) -> str | None:
    """What became of a metadata file; None of one that is as it was written."""
    digest = "none"
    try:
        digest = hashlib.sha256(store.read(name)).hexdigest()
    except FileNotFoundError:
        pass
    except (DamagedOutput, OSError) as err:
        return f"was replaced ({err})"
    return None if digest in digests else "was removed" if digest == "none" else "was altered"


class _Journals:
    """Files of records as far as they went, also those that were merged into a segment or a bundle since.

    Args:
        store: Where they lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._segments: dict[str, list[tuple[str, range]]] = {}  # by their journals' stems
        self._bundled: dict[str, tuple[str, int, int]] = {}  # file to its bundle, and where in that it is
        self._split: tuple[str, list[bytes]] = "", []
        # in a folder what is there is listed at once
        self._pauses_s = [pause_s for pause_s in LAGS_S if not (store.local and pause_s)]

    def digest(self, name: str, size: int) -> str:
        """SHA-256 of a file's first ``size`` bytes; of a line that is in a segment by now, of that line.

        Raises:
            FileNotFoundError: It is neither there nor in another file.
            ValueError: A bundle's first line is not what was written.
        """
        try:
            with self._store.open(name) as stream:
                return _of_stream(stream, size)
        except FileNotFoundError:
            return hashlib.sha256(self._merged(name)[:size]).hexdigest()

    def _merged(self, name: str) -> bytes:
        """What a file held that is merged; what it is in may be listed some seconds late."""
        one = line_of(name)
        while True:
            with suppress(FileNotFoundError):  # what it was in is itself merged by now
                if (place := self._bundled.get(name)) is not None:
                    return self._store.read(*place)
                for segment, numbers in self._segments.get(one[0], ()) if one else ():
                    if one and one[1] in numbers:
                        return b"".join(self._lines(segment)[one[1] - numbers.start :][:1])
            if not self._pauses_s:  # whatever is missing now was removed
                raise FileNotFoundError(name)
            time.sleep(self._pauses_s.pop(0))
            self._list()

    def _list(self) -> None:
        there = [one.name for one in self._store.list(RECORDS)]
        self._segments, self._bundled = {}, {}
        for bundle in there:
            with suppress(FileNotFoundError):  # merged since it was listed
                for name, start, size in bundled_in(self._store, bundle):
                    self._bundled[f"{RECORDS}/{name}"] = bundle, start, size
        for name in (*there, *self._bundled):
            if (segment := segment_of(name)) is not None:
                self._segments.setdefault(segment[0], []).append((name, segment[1]))

    def _lines(self, segment: str) -> list[bytes]:
        """A segment's lines; of the last they are kept, as the next may be asked for."""
        if self._split[0] != segment:
            place = self._bundled.get(segment, (segment,))
            self._split = segment, self._store.read(*place).splitlines(keepends=True)
        return self._split[1]


def _of_stream(stream: BinaryIO, left: int) -> str:
    digest = hashlib.sha256()
    while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
