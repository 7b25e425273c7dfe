"""A small list on the made-up web, and runs over it: in this process, or in others that may be killed.

As a script it is one such process: ``python small_world.py SETTINGS.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill import recipes
from gristmill.crawl.crawler import CONSUMING_PER_IN_FLIGHT
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.totals import Totals, total
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import GristmillError
from gristmill.steps.transcoders.image import ImageTranscoder
from gristmill.testing.web import FakeWeb

ROWS = 110
ONE_BY_ONE = {"crawl.in_flight": "1", "rows.part_rows": "60"}
"""Two tasks with one request at a time, so that what is asked for twice tells. The shards are the same."""
UNFINISHED = 1 + CONSUMING_PER_IN_FLIGHT
"""Most URLs of one such worker that were asked for and are not finished yet: they wait for a decoder."""
NO_MANIFEST = [("dataset.json", "is not there; the end of a run writes it")]
"""All that ``verify`` may remark on a run of ours: its card and manifest are the command's to write."""
SETTINGS = {
    "crawl.allow_private_addresses": "true",
    "crawl.in_flight": "8",
    "crawl.tries": "1",
    "rows.part_rows": "20",
    "pack.shard_samples": "15",
}


@dataclass
class Watcher:
    """Remembers what it is told."""

    said: list[str] = field(default_factory=list)
    committed_tasks: list[Any] = field(default_factory=list)

    def config(self, recipe, config, ledger, schedule) -> None:
        self.schedule = schedule

    def progress(self, progress) -> None:
        pass

    def committed(self, record) -> None:
        self.committed_tasks.append(record)

    def noted(self, record) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)

    def last_words(self, text: str) -> None:
        os.write(sys.stderr.fileno(), text.encode())


def url(web: FakeWeb, n: int) -> str:
    """Photographs for the most part; few are distinct, so that the web has little to do."""
    if n % 10 == 4:
        return web.url(f"/fault/404/{n}", n)
    if n % 25 == 7:
        return web.url(f"/fault/html/{n}", n)
    return web.url(f"/photo/{n % 12}.jpg?w=160&n={n}", n)


def write_list(path: Path, urls: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [f"caption {n} – é" for n in range(len(urls))]
    pq.write_table(pa.table({"url": urls, "text": texts}), path)
    return path


def job(place: Path, folder: Path, *, settings: Mapping[str, str] | None = None, **more: Any) -> Job:
    arguments = {"url_column": "url", "caption_column": "text"}
    load = partial(recipes.load, "crawl", {**arguments, "path": str(place)}, {**SETTINGS, **(settings or {})})
    return Job(load=load, reference="crawl", folder=folder, arguments=arguments, **more)


def run_here(place: Path, folder: Path, **more: Any) -> tuple[Ended, Watcher]:
    """A run in this process (with ``workers``, tasks in others)."""
    watcher = Watcher()
    return run(job(place, folder, **more), watcher), watcher


class Process:
    """A run in a process group of its own."""

    def __init__(self, place: Path, folder: Path, **more: Any) -> None:
        given = json.dumps({"place": str(place), "folder": str(folder), **more})
        self.popen = subprocess.Popen(
            [sys.executable, __file__, given],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill_all(self) -> None:
        """kill -9 of the whole tree."""
        tree = self.tree() if self.popen.poll() is None else []
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.end()
        assert not psutil.wait_procs(tree, 10)[1]

    def end(self, timeout_s: float | None = None) -> tuple[int, str]:
        """Wait for it: exit code and what it said. One that hangs meets the limit of the whole test."""
        try:
            _, said = self.popen.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.popen.pid, signal.SIGKILL)
            raise
        return self.popen.returncode, said

    def tree(self) -> list[psutil.Process]:
        """All processes below it."""
        return psutil.Process(self.popen.pid).children(recursive=True)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.kill_all()
        for stream in (self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


def wait_for(condition, timeout_s: float = math.inf) -> None:
    """Wait as long as it takes: a busy machine starts a process in a minute. The limit of the test ends a hang."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def tree_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file among the shards, by name; of statistics, of all but the times."""
    return {
        path.relative_to(folder / "shards").as_posix(): hashlib.sha256(_timeless(path)).hexdigest()
        for path in sorted((folder / "shards").rglob("*"))
        if path.is_file()
    }


def _timeless(path: Path) -> bytes:
    body = path.read_bytes()
    if not path.name.endswith("_stats.json"):
        return body
    stats = json.loads(body)
    kept = {name: stats[name] for name in stats if name not in {"start_time", "end_time", "duration"}}
    return json.dumps(kept).encode()


def totals(folder: Path) -> Totals:
    return total(Ledger(folder).records.values())


def check_final_names(folder: Path) -> None:
    """Whatever lies under a final name can be read to its end and is as long as its record says."""
    shards = folder / "shards"
    if not shards.is_dir():
        return
    for path in shards.iterdir():
        if path.name.startswith("."):
            continue
        if path.suffix == ".tar":
            assert len(list(read_samples(path))) > 0, path
        elif path.suffix == ".parquet":
            pq.read_table(path)
        else:
            json.loads(path.read_bytes())
    for path in (folder / "fates").glob("*.parquet"):
        pq.read_table(path)
    for record in Ledger(folder).records.values():
        for shard in record.outputs:
            assert (folder / shard.path).stat().st_size == shard.size_bytes, shard.path


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if ".tmp-" in path.name]


def main() -> int:
    given = json.loads(sys.argv[1])
    for name in given.keys() & {"span", "share"}:
        given[name] = tuple(given[name])
    if hanging := given.pop("hangs", ""):  # with the first picture, and a file tells that it does
        ImageTranscoder.take = lambda *_: (Path(hanging).touch(), time.sleep(600))
    watcher = Watcher()
    try:
        ended = run(job(Path(given.pop("place")), Path(given.pop("folder")), **given), watcher)
    except GristmillError as err:
        sys.stderr.write("\n".join([*watcher.said, f"{type(err).__name__}: {err}"]))
        return err.exit_code
    sys.stderr.write("\n".join([*watcher.said, "complete" if ended.complete else "not complete"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
