"""What commands cost that read all records of a large dataset: restore, status, verify, the plan of a retry.

The records are those of ``machines.py``, in segments of a store that can do no more than an object store. Of its
other files there are names and sizes alone, as a listing tells of them: what reads media is not measured. Each
command reads in a process of its own. ``python -m bench.many_records RECORDS`` sets up and measures that many.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from bench.figure import Figure
from bench.machines import CountingStore, _config, _write
from bench.paths import REPO, fresh, say
from bench.planning import _recipe
from gristmill.ledger.ledger import RECORDS, Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.storage.store import Stored

COUNT = 100_000
LISTED_AT_ONCE = 1000
MEDIA = 2_000_000
GOAL = "10^6: under 2 GB"


@dataclass(frozen=True)
class ListingStore(CountingStore):
    """Lists what the records' tasks put, from files with a line for each; nothing else of it is there."""

    listed: dict[str, int] = field(default_factory=dict)

    def list(self, folder: str = "") -> Iterator[Stored]:
        """See :class:`gristmill.storage.store.Store`."""
        found = super().list(folder) if folder == RECORDS else self._names(folder)
        for one in found:
            self.listed[folder] = self.listed.get(folder, 0) + 1
            yield one

    def _names(self, folder: str) -> Iterator[Stored]:
        path = _listing(self.folder, folder)
        if path.exists():
            with path.open() as lines:
                for line in lines:
                    name, _, size = line.rpartition(" ")
                    yield Stored(name, int(size))


def many_records(count: int = COUNT) -> list[Figure]:
    """Set up so many records, then have each command read them."""
    store = CountingStore(fresh("many-records"))
    say(f"many records: writing {count:,}")
    _write(store, count)
    _config(count).write(store)
    _write_listings(store)
    return [_figure(name, count, store.folder) for name in COMMANDS]


def _figure(name: str, count: int, folder: Path) -> Figure:
    say(f"many records: {name}")
    command = [sys.executable, "-m", "bench.many_records", name, str(folder)]
    raw = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=REPO).stdout)
    value = f"{raw['cpu_s']:.1f} CPU s, {raw['peak_mb']:.0f} MB, {raw['gets'] + raw['lists']:,} requests"
    of = f"{MEDIA:,} media" if name == statistics.__name__ else f"{count:,} records"
    return Figure(name=f"{name}, {of}", value=value, goal=GOAL, raw=raw)


def restore(store: ListingStore, config: RunConfig) -> None:
    """What a run does before it plans."""
    from gristmill.run.begin import restore as look_after

    if said := look_after(config, Ledger(store)):
        raise RuntimeError(f"many records: something is lost: {said[0]}")


def status(store: ListingStore, config: RunConfig) -> None:
    """What ``gristmill status`` does, but for finding the dataset."""
    from gristmill.cli.funnel import print_status
    from gristmill.ledger.at_work import at_work
    from gristmill.ledger.manifest import of_records

    ledger = Ledger(store)
    at_work(store)
    with redirect_stdout(StringIO()):
        print_status(store, config, ledger, as_json=False)
    of_records(config, ledger)


def verify(store: ListingStore, config: RunConfig) -> None:
    """What ``gristmill verify`` does with records and names, once it has read shards and fates."""
    from gristmill.run.maintenance import verify as module

    with ExitStack() as stack:
        stack.enter_context(patch.object(module, "_check_file", lambda *_: None))
        stack.enter_context(patch.object(module, "_check_shard", lambda *_: np.empty(0, np.uint64)))
        found = module.verify(Ledger(store), threads=1, decode=False, complete=True, tell=lambda so_far: None)
    if any(place.startswith(("shards/", "fates/", ".gristmill/crawled")) for place, _ in found.problems):
        raise RuntimeError(f"many records: verify finds {found.problems[0]}")


def retry(store: ListingStore, config: RunConfig) -> None:
    """What ``gristmill retry`` does before its first task."""
    from gristmill.ledger.totals import failing
    from gristmill.run.maintenance.reopen import Dataset, planner_of
    from gristmill.run.planning.planner import Planner

    recipe, ledger = _recipe(), Ledger(store)
    planner_of(Dataset(folder=store, config=config, ledger=ledger), recipe)
    if not failing(ledger.of("making"))["deadline"]:
        raise RuntimeError("many records: nothing is to be asked for again")
    Planner(recipe, replace(config, rounds=(("deadline",),)), ledger)


def statistics(store: ListingStore, config: RunConfig) -> None:
    """The count over all media, of so many in batches as files of fates give them; here the records are not read."""
    from gristmill.steps.same_tally import tally

    rng, rows = np.random.default_rng(5), 5_000

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, MEDIA, rows):
            numbers = rng.integers(0, 1 << 62, rows)
            numbers[::10] = rng.integers(0, 1_000, rows // 10)  # the same pictures at many addresses
            shas = [f"{number:016x}" * 4 for number in numbers]
            yield pa.RecordBatch.from_pydict(
                {
                    "reason": pa.nulls(rows, pa.string()),
                    "url": [f"https://{n % 50_000}.example/{n}.jpg" for n in range(start, start + rows)],
                    "sha256": shas,
                    "phash": pa.nulls(rows, pa.string()),
                }
            )

    scratch = store.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    tally(batches, scratch, min_urls=10, max_distance=None)


COMMANDS: dict[str, Callable[[ListingStore, RunConfig], None]] = {
    one.__name__: one for one in (restore, status, verify, retry, statistics)
}


def measure(name: str, folder: Path) -> dict[str, float]:
    """Processor seconds, memory and requests of one command, imports included."""
    store = ListingStore(folder)
    COMMANDS[name](store, RunConfig.read(store))
    lists = sum(-(-number // LISTED_AT_ONCE) for number in store.listed.values())
    return {
        "cpu_s": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        "gets": store.requests.get("get", 0),
        "lists": lists,
    }


def _write_listings(store: CountingStore) -> None:
    """Write what the store would list beside its records."""
    streams = {}
    with ExitStack() as stack:
        for record in Ledger(store).records.values():
            for one in record.outputs:
                folder = one.path.rpartition("/")[0]
                if folder not in streams:
                    path = _listing(store.folder, folder)
                    path.parent.mkdir(exist_ok=True)
                    streams[folder] = stack.enter_context(path.open("w"))
                streams[folder].write(f"{one.path} {one.size_bytes}\n")


def _listing(top: Path, folder: str) -> Path:
    return top / "listings" / folder.replace("/", "_")


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        for figure in many_records(int(sys.argv[1])):
            print(figure.name, figure.value, json.dumps(figure.raw))
    else:
        sys.stdout.write(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
