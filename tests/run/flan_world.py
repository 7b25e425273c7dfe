"""The FLAN collection in small, on the made-up hub, and runs over it: in this process or as commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from small_world import Watcher

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.shards.webdataset import read_samples

REPO = "Open-Orca/FLAN"
REVISION = recipes.find("text-flan").source("annotations").revision
SETTINGS = {"sample.size": "300", "sample.part_rows": "40", "pack.shard_samples": "100"}


def run_here(
    folder: Path, source: Path | None = None, settings: Mapping[str, str] | None = None, **more: Any
) -> Ended:
    """A run in this process; from the hub unless ``source`` is given."""
    load = partial(recipes.load, "text-flan", None, {**SETTINGS, **(settings or {})})
    replaced = {"annotations": str(source)} if source else {}
    return run(Job(load=load, reference="text-flan", folder=folder, replaced=replaced, **more), Watcher())


def command(out: Path, hub_url: str, *more: str) -> subprocess.Popen[str]:
    """``gristmill run text-flan`` in a process group of its own."""
    program = [str(Path(sys.executable).with_name("gristmill")), "run", "text-flan", "--out", str(out)]
    given = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    return subprocess.Popen(
        [*program, *given, *more],
        env={**os.environ, "HF_ENDPOINT": hub_url},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def samples_of(folder: Path) -> Iterator[dict[str, Any]]:
    """The ``json`` parts, in the order of the shards."""
    for path in sorted((folder / "shards").glob("*.tar")):
        for sample in read_samples(path):
            assert set(sample.parts) == {"json"}
            yield orjson.loads(sample.parts["json"])


def all_rows(paths: list[Path]) -> list[tuple[str | None, str | None]]:
    """Everything in memory, as the published way has it."""
    tables = [pq.read_table(path, columns=["inputs", "targets"]) for path in paths]
    return [tuple(row.values()) for row in pa.concat_tables(tables).to_pylist()]


def facts(folder: Path, *stages: str) -> dict[str, float]:
    """Sums over the records of these stages."""
    found: dict[str, float] = {}
    for record in Ledger(folder).records.values():
        if record.stage in stages:
            for name, value in record.facts.items():
                found[name] = found.get(name, 0) + value
    return found
