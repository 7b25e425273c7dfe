"""The ledger: what was done, as task records in append-only journals.

Each process that commits has a journal of its own, created exclusively and synced after each line; a line is
a record, and its presence means done. A line cut off by a kill does not count. The index in memory is rebuilt
from the journals and can be refreshed while other processes append to theirs.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from gristmill.spec.errors import DamagedOutput
from gristmill.spec.sample import Json
from gristmill.spec.task import TaskRecord
from gristmill.storage.files import sync_folder

__all__ = ["STATE", "Ledger"]

STATE = ".gristmill"
"""The folder within a dataset's folder for what a trainer never reads."""


class Ledger:
    """The records of one dataset.

    Args:
        folder: The dataset's folder (``DIR/NAME``).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journals = folder / STATE / "records"
        self._read_to: dict[str, int] = {}
        self._fd: int | None = None
        self.records: dict[str, TaskRecord] = {}
        self.released: set[str] = set()
        self.refresh()

    def refresh(self) -> list[TaskRecord]:
        """Read what was appended since the last time, by any process; returns the new records."""
        new: list[TaskRecord] = []
        if not self._journals.is_dir():
            return new
        for entry in sorted(os.scandir(self._journals), key=lambda e: e.name):
            if not entry.name.endswith(".jsonl"):
                continue
            start = self._read_to.get(entry.name, 0)
            if entry.stat().st_size <= start:
                continue
            for value in self._lines(entry.path, entry.name, start):
                record = self._apply(value)
                if record is not None:
                    new.append(record)
        return new

    def _lines(self, path: str, name: str, start: int) -> Iterator[dict[str, Any]]:
        with open(path, "rb") as stream:
            stream.seek(start)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # cut off by a kill, or still being written: not a record
                start += len(line)
                self._read_to[name] = start
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError as err:
                    raise DamagedOutput(
                        f"{path}: the line that ends at byte {start} is not a record ({err}). Remove that "
                        "line and give the command again: its task alone is done anew."
                    ) from err

    def _apply(self, value: dict[str, Json]) -> TaskRecord | None:
        if "released" in value:
            self.released.update(value["released"])
            return None
        if "void" in value:
            self.records.pop(value["void"], None)
            return None
        record = TaskRecord.from_json(value)
        self.records[record.task_id] = record
        self.released.difference_update(shard.path for shard in record.outputs)
        return record

    def commit(self, record: TaskRecord) -> None:
        """Make a task done: append its record and sync.

        Raises:
            OSError: As the system says; the task is then not done.
        """
        self._append(record.to_json())
        self._apply(record.to_json())

    def void(self, task_id: str) -> None:
        """Take a record back, because its outputs are damaged or gone; the task will be done anew."""
        self._append({"void": task_id})
        self.records.pop(task_id, None)

    def release(self, paths: list[str]) -> None:
        """Note that intermediate files are no longer needed, before they are removed."""
        self._append({"released": paths})
        self.released.update(paths)

    def _append(self, value: dict[str, Json]) -> None:
        if self._fd is None:
            self._journals.mkdir(parents=True, exist_ok=True)
            name = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self._journals / name, flags, 0o644)
            self._own = name
            sync_folder(self._journals)
        line = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        start = os.fstat(self._fd).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._fd, line[written:])
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, start)  # a half-written line must not precede the next one
            raise
        self._read_to[self._own] = start + len(line)

    def stage(self, stage: str) -> list[TaskRecord]:
        """Records of one stage, in the dataset's order."""
        return sorted((r for r in self.records.values() if r.stage == stage), key=lambda r: r.number)

    def close(self) -> None:
        """Close this process's journal."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
