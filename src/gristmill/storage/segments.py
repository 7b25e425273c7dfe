"""Journals where a store cannot append: a file for each line, merged into segments, and small files into bundles.

A segment has lines of one journal, and its name says which. A bundle has whole files of many journals, one after
another, and its first line says which: so what ten thousand short processes left is read in a few requests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import orjson

from gristmill.spec.errors import GristmillError
from gristmill.storage.store import Journal, Store, Stored

__all__ = [
    "BUNDLE",
    "FEW",
    "SEGMENT_LINES",
    "Segments",
    "bundle",
    "bundled_in",
    "is_small",
    "line_of",
    "segment_of",
    "within",
]

SEGMENT_LINES = 1000
"""So many lines of a journal become one file, where a store cannot append."""
_SEGMENT_BYTES = 8 << 20
"""Or so many bytes, whichever comes first: they are kept in memory until then."""
FEW = 100
"""So many small files are read about as soon as they are merged."""
BUNDLE = b'{"bundle":'
"""Begins a bundle's first line, which goes on with the sizes of the files that follow, by their names."""
_LINE = re.compile(r"(.+-[0-9]+-[0-9a-f]{8})-([0-9]{6,})\.jsonl")
_BUNDLE = re.compile(r"(?:.+/)?bundle-[0-9a-f]{16}-([0-9]{6,})\.jsonl")
_SEGMENT = re.compile(r"(.+-[0-9]+-[0-9a-f]{8})-([0-9]{6,})-([0-9]{6,})\.jsonl")


class Segments(Journal):
    """A journal in a store that cannot append: a file for each line, and one for many once there are many.

    The line with number 7 of a journal is the file ``STEM-000007.jsonl``; a segment, ``STEM-000000-000999.jsonl``,
    has all lines from its first number to its last, as they are, and is put before they are removed one by one. So
    at any instant each line is in one file or in both, and a name says of which lines a file is: :func:`within`.
    """

    def __init__(self, store: Store, stem: str) -> None:
        self._store, self._stem, self._lines = store, stem, 0
        self._apart: list[bytes] = []
        self._apart_bytes = 0

    def append(self, line: bytes) -> tuple[str, int]:
        """See :class:`Journal`."""
        name = _line_name(self._stem, self._lines)
        self._lines += 1  # whatever comes of it: a line may be there though the answer was lost
        try:
            self._store.put_if_absent(name, line)
        except BaseException:
            self._merge(self._lines - 1)
            raise
        self._apart.append(line)
        self._apart_bytes += len(line)
        if len(self._apart) >= SEGMENT_LINES or self._apart_bytes >= _SEGMENT_BYTES:
            self._merge(self._lines)
        return name, len(line)

    def _merge(self, stop: int) -> None:
        """Put the lines before number ``stop`` that lie apart into one file. What goes wrong leaves them apart."""
        lines, self._apart, self._apart_bytes = self._apart, [], 0
        if len(lines) > 1:
            with suppress(OSError, GristmillError):  # each line is there already, which is what was promised
                first = stop - len(lines)
                self._store.put_if_absent(f"{self._stem}-{first:06d}-{stop - 1:06d}.jsonl", b"".join(lines))
                for number in range(first, stop):
                    self._store.delete(_line_name(self._stem, number))

    def close(self) -> None:
        """See :class:`Journal`."""
        self._merge(self._lines)


def _line_name(stem: str, number: int) -> str:
    return f"{stem}-{number:06d}.jsonl"


def line_of(name: str) -> tuple[str, int] | None:
    """Say of which journal, by its stem, and of which number the one line is that a file of that name has."""
    found = _LINE.fullmatch(name)
    return (found[1], int(found[2])) if found and _SEGMENT.fullmatch(name) is None else None


def segment_of(name: str) -> tuple[str, range] | None:
    """Say of which journal, by its stem, and of which numbers the lines are that a segment of that name has."""
    found = _SEGMENT.fullmatch(name)
    return (found[1], range(int(found[2]), int(found[3]) + 1)) if found else None


def within(name: str, segments: Mapping[str, Sequence[range]]) -> bool:
    """Say whether a file's one line is in a segment, too; these by their journals' stems."""
    one = line_of(name)
    return one is not None and any(one[1] in numbers for numbers in segments.get(one[0], ()))


def is_small(file: Stored) -> bool:
    """Say whether a file of records is no more than half full; False of a journal that grows."""
    lines = _lines_in(file.name)
    return 0 < lines <= SEGMENT_LINES // 2 and file.size_bytes <= _SEGMENT_BYTES // 2


def bundle(store: Store, files: Iterable[Stored]) -> None:
    """Put files of records into bundles, each file as it is, then remove them.

    A kill leaves some in a bundle and beside it, where they count once. Whoever does the same at the same time makes
    the same bundle, or another with some of the same files.

    Args:
        store: Where they lie.
        files: Small ones.
    """
    names: list[str] = []
    lines = size = 0
    for one in files:
        names.append(one.name)
        lines, size = lines + _lines_in(one.name), size + one.size_bytes
        if lines >= SEGMENT_LINES or size >= _SEGMENT_BYTES:
            _bundle(store, names, lines)
            names, lines, size = [], 0, 0
    _bundle(store, names, lines)


def _bundle(store: Store, names: Sequence[str], lines: int) -> None:
    if len(names) < 2:
        return
    with suppress(FileNotFoundError):  # somebody else was quicker
        bodies = {name: store.read(name) for name in names}
        sizes = {name.rpartition("/")[2]: len(body) for name, body in bodies.items()}
        whole = b"".join([BUNDLE, orjson.dumps(sizes), b"}\n", *bodies.values()])
        if all(body.endswith(b"\n") for body in bodies.values()):
            name = f"bundle-{hashlib.sha256(whole).hexdigest()[:16]}-{lines:06d}.jsonl"
            store.put_if_absent(f"{names[0].rpartition('/')[0]}/{name}", whole)
            for each in bodies:
                store.delete(each)


def _lines_in(name: str) -> int:
    """How many lines a file has, by its name; 0 where that does not say."""
    if found := _BUNDLE.fullmatch(name):
        return int(found[1])
    return len(segment[1]) if (segment := segment_of(name)) else int(line_of(name) is not None)


def bundled_in(store: Store, name: str) -> Iterator[tuple[str, int, int]]:
    """Say which files a bundle has, by their names within its folder, from which of its bytes on, and how many.

    Also those of bundles that it has; nothing of a file that is none.

    Raises:
        ValueError: Its first line is not what was written.
    """
    if _BUNDLE.fullmatch(name):
        with store.open(name) as stream:
            left = [0]
            while left:
                stream.seek(left.pop())
                start = stream.tell()
                line = stream.readline()
                start += len(line)
                for each, size in _sizes_in(line, name).items():
                    yield each, start, size
                    left += [start] if _BUNDLE.fullmatch(each) else []
                    start += size


def _sizes_in(line: bytes, name: str) -> dict[str, int]:
    """Read the first line of a bundle: the sizes of its files, by their names."""
    with suppress(orjson.JSONDecodeError):
        match orjson.loads(line):
            case {"bundle": dict(sizes)} if all(type(one) is int and one >= 0 for one in sizes.values()):
                return sizes
    raise ValueError(f"the first line of {name} was altered")
