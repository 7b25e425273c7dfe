"""Planning and the ledger beyond one machine: records in an object store's segments, read and planned from.

The tool's own planner hands out the tasks of recipe coyo-700m over made-up annotation files, as in ``planning.py``.
Their records lie in segments, as processes leave them that merged theirs. The store can do no more than an object
store, and counts requests; it lies in a folder, without a network: what is measured is ours.

``python -m bench.machines RECORDS`` sets up and measures that many; 1,000,000 are the goal's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import msgspec

from bench.figure import Figure
from bench.paths import REPO, fresh, say
from bench.planning import ANNOTATION_FILES, PARTS, _begun, _planner, _recipe, _records
from gristmill.ledger.ledger import RECORDS, Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.storage.local import LocalStore
from gristmill.storage.segments import SEGMENT_LINES

COUNT = 100_000
GOAL = "10^6: under 60 s, under 2 GB, some thousand requests"


@dataclass(frozen=True)
class CountingStore(LocalStore):
    """A folder that says it is none."""

    requests: dict[str, int] = field(default_factory=dict)
    listed_every_s = 5.0

    @property
    def local(self) -> None:  # type: ignore[override]
        """See :class:`gristmill.storage.store.Store`."""
        return

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """See :class:`gristmill.storage.store.Store`."""
        self.requests["get"] = self.requests.get("get", 0) + 1
        return super().read(name, start, size)


def machines(count: int = COUNT) -> list[Figure]:
    """Set up so many records, then read and plan, in a process of its own."""
    store = CountingStore(fresh("machines"))
    say(f"machines: writing {count:,} records")
    size = _write(store, count)
    command = [sys.executable, "-m", "bench.machines", str(count), str(store)]
    raw = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=REPO).stdout)
    raw["bytes_a_record"] = size / count
    value = f"{raw['cpu_s']:.1f} CPU s, {raw['planned_mb']:.0f} MB, {raw['gets'] + raw['lists']:,} requests"
    return [Figure(name=f"{count:,} records read and planned from", value=value, goal=GOAL, raw=raw)]


def measure(count: int, folder: Path) -> dict[str, float]:
    """Read the records and plan what is left: processor seconds, memory after each, requests."""
    store, before = CountingStore(folder), _rss_mb()
    ledger = Ledger(store)
    read_s, read_mb = time.process_time(), _rss_mb()
    planner = _planner(_config(count), ledger)
    if len(ledger.records) != count or planner.pop() is None:
        raise RuntimeError(f"machines: {len(ledger.records):,} records were read, or nothing is left to do")
    return {
        "read_cpu_s": read_s,
        "cpu_s": time.process_time(),
        "begun_mb": before,
        "read_mb": read_mb,
        "planned_mb": _rss_mb(),
        "gets": store.requests["get"],
        "lists": -(-len(ledger.read_to) // 1000),
    }


def _write(store: CountingStore, count: int) -> int:
    """Put the records of the first tasks in segments; gives their bytes."""
    made = Ledger(store)
    planner, size = _planner(_config(count), made), 0
    lines: list[bytes] = []
    with patch("os.fsync"):  # the disk is not what is measured
        for number, record in enumerate(_records(planner, count), 1):
            lines.append(msgspec.json.encode(record) + b"\n")
            made._take(record, lines[-1])
            planner.absorb(record)
            if len(lines) == SEGMENT_LINES or number == count:
                first = number - len(lines)
                store.put(f"{RECORDS}/bench-1-0badcafe-{first:06d}-{number - 1:06d}.jsonl", b"".join(lines))
                size += sum(map(len, lines))
                lines = []
    return size


def _config(count: int) -> RunConfig:
    """Enough annotation files for so many tasks."""
    return _begun(_recipe(), max(ANNOTATION_FILES, count // PARTS))


def _rss_mb() -> float:
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * resource.getpagesize() / 1e6


if __name__ == "__main__":
    number = int(sys.argv[1])
    if len(sys.argv) > 2:
        sys.stdout.write(json.dumps(measure(number, Path(sys.argv[2]))))
    else:
        for figure in machines(number):
            print(figure.name, figure.value, json.dumps(figure.raw))
