"""What a crawl step is given, in memory."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from gristmill.spec.body import Body, Pointer, bytes_of
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason


class Box:
    """A MediaContext in memory; the engines are shared by all tests of the module."""

    def __init__(self, engines: dict, done: dict[tuple[int, str], Fate] | None = None) -> None:
        self.stop, self.grace_s, self.attempt = Event(), 0.3, 0
        self.engines = engines
        self.sources: dict[str, object] = {}
        self.fates = dict(done or {})
        self.bodies: dict[tuple[int, str], bytes | None] = {}
        self.pointers: dict[tuple[int, str], Pointer] = {}
        self.pieces: dict[tuple[int, str], list[int]] = {}
        self.folder: tempfile.TemporaryDirectory | None = None
        self.shared = self.kept = Path(tempfile.gettempdir())
        self.progressed: list[tuple[int, dict[str, int], int]] = []

    def portions(self, samples):
        yield samples

    def done(self) -> Mapping[tuple[int, str], Fate]:
        return dict(self.fates)

    def store(self, fate: Fate, body: Body | None, pointer: Pointer | None = None, pieces=()) -> None:
        assert (fate.row, fate.medium) not in self.fates or fate.reason is Reason.NOT_NEEDED
        self.fates[fate.row, fate.medium] = fate
        self.pieces[fate.row, fate.medium] = list(pieces)
        if pointer is not None:
            assert body is None
            with self.sources[pointer.source].reopen(pointer.member) as stream:
                body = stream.read()
            self.pointers[fate.row, fate.medium] = pointer
        self.bodies[fate.row, fate.medium] = None if body is None else bytes_of(body)

    def scratch(self) -> Path:
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory()
        return Path(self.folder.name)

    def progress(self, done: int, reasons: Mapping[str, int], bytes_in: int) -> None:
        self.progressed.append((done, dict(reasons), bytes_in))

    def source(self, key: str):
        return self.sources[key]

    def resource(self, key, make):
        if key not in self.engines:
            self.engines[key] = make()
        return self.engines[key]
