"""Planning and status over a dataset's folder with 100,000 task records.

The folder is made with the tool's own types: its planner hands out the tasks of recipe coyo-700m over made-up
annotation files, and each gets the record that such a task leaves (twenty failing hosts, reasons, three outputs),
until there are 100,000. The media are not there: neither command reads them.

``python -m bench.planning DIR`` plans what is left to do, as ``gristmill run`` does before it starts: what is
measured, beside ``gristmill status DIR``.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from bench.measure import Measurement, measured
from bench.paths import WORK, say
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.run.planning.planner import Planner
from gristmill.run.stages.pack import PackDecision, PackStage
from gristmill.run.stages.rows import Rows
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import Account, ShardInfo, Task, TaskRecord, decided, digest_of

RECORDS = 100_000
ANNOTATION_FILES = 360
PARTS = 233  # of 5,000 rows: a fifth of 5.8 million
PART_ROWS, PART_KEPT = 5_000, 3_100
FAILING_HOSTS = 20
SEED = 5
FOLDERS = {
    "part": ".gristmill/parts",
    "index": ".gristmill/crawled",
    "spool": ".gristmill/crawled",
    "fates": "fates",
    "shard": "shards",
    "sidecar": "shards",
}
REASONS = {
    "http_404": 700,
    "dns_not_found": 400,
    "deadline": 300,
    "http_403": 250,
    "not_an_image": 150,
    "tls": 100,
}


def planning() -> dict[str, Measurement]:
    """What status and planning cost, each in a process of its own, imports included."""
    folder = _dataset()
    program = str(Path(sys.executable).with_name("gristmill"))
    return {
        "status": measured([program, "status", str(folder)]),
        "planning": measured([sys.executable, "-m", "bench.planning", str(folder)]),
    }


def plan_rest(folder: Path) -> int:
    """Find out what is left to do in a dataset's folder; returns the number of records read."""
    config, ledger = RunConfig.read(folder), Ledger(folder)
    planner = _planner(config, ledger)
    task = planner.pop()
    if task is None or len(ledger.records) != RECORDS:
        raise RuntimeError(
            f"planning: {len(ledger.records):,} records, next task {task}: not what was set up"
        )
    return len(ledger.records)


def _recipe() -> Recipe:
    from gristmill.recipes import coyo_700m

    recipe: Recipe = coyo_700m.RECIPE
    return recipe


def _planner(config: RunConfig, ledger: Ledger) -> Planner:
    return Planner(_recipe(), config, ledger)


def _dataset() -> Path:
    """The folder, made anew if the recipe has changed since."""
    recipe = _recipe()
    folder = WORK / "plan" / digest_of(recipe.identity())[:12] / recipe.public_name
    if (folder / ".made").exists():
        return folder
    say(f"plan: writing {RECORDS:,} records")
    shutil.rmtree(WORK / "plan", ignore_errors=True)
    config = _begun(recipe)
    folder.mkdir(parents=True)
    config.write(folder)
    ledger = Ledger(folder)
    planner = _planner(config, ledger)
    with patch("os.fsync"):  # the disk is not what is measured
        for record in _records(planner):
            ledger.commit(record)
            planner.absorb(record)
    ledger.close()
    (folder / ".made").touch()
    return folder


def _begun(recipe: Recipe, files: int = ANNOTATION_FILES) -> RunConfig:
    names = [f"data/part-{number:05d}.snappy.parquet" for number in range(files)]
    inputs = tuple(
        InputFile(source="annotations", name=name, size_bytes=1_050_000_000, digest=digest_of(name))
        for name in names
    )
    return RunConfig(
        recipe=recipe.public_name,
        name=recipe.public_name,
        version=recipe.version,
        identity=recipe.identity(),
        inputs=inputs,
        sources={"annotations": "kakaobrain/coyo-700m"},
    )


def _records(planner: Planner, count: int = RECORDS) -> Iterator[TaskRecord]:
    """Do, on paper, what the planner asks for."""
    rng = random.Random(SEED)
    hosts = [f"{rng.getrandbits(60):x}.example" for _ in range(20_000)]
    for _ in range(count):
        task = planner.pop()
        if task is None:
            raise RuntimeError("planning: the planner has no more tasks: raise ANNOTATION_FILES")
        yield _record(task, rng, hosts, planner.stage(task).account)


def _record(task: Task, rng: random.Random, hosts: list[str], account: Account) -> TaskRecord:
    samples_in, kept, dropped, outputs = _outcome(task)
    failing = rng.sample(hosts, FAILING_HOSTS) if task.stage not in {Rows.name, PackStage.name} else []
    return TaskRecord(
        task_id=task.id,
        stage=task.stage,
        number=task.number,
        outputs=outputs,
        samples_in=samples_in,
        kept=kept,
        account=account,
        dropped=dropped,
        hosts={host: rng.randint(2, 60) for host in failing},
        facts={"bytes_in": 186_000 * samples_in, "requests": samples_in},
        seconds=20.0,
        finished_at=1.7e9 + rng.random() * 1e6,
        host="bench:1",
        code_version="0.1.0",
    )


def _outcome(task: Task) -> tuple[int, int, dict[str, int], tuple[ShardInfo, ...]]:
    """Samples in, kept, dropped by reason, and outputs of a task of this stage."""
    if task.stage == Rows.name:
        kept, rest = PARTS * PART_ROWS, 4 * PARTS * PART_ROWS
        parts = tuple(_file(task, "part", number, PART_ROWS) for number in range(PARTS))
        dropped = {"below_floor": rest - 200_000, "beyond_share": 200_000}
        return kept + rest, kept, dropped, (*parts, _file(task, "fates", 0, rest))
    if task.stage == PackStage.name:
        pieces = sum(stop - start for start, stop in decided(task, PackDecision).slices)
        return pieces, pieces, {}, (_file(task, "shard", 0, pieces), _file(task, "sidecar", 1, pieces))
    outputs = tuple(_file(task, role, 0, PART_KEPT) for role in ("index", "spool", "fates"))
    return PART_ROWS, PART_KEPT, dict(REASONS), outputs


def _file(task: Task, role: str, number: int, samples: int) -> ShardInfo:
    path = f"{FOLDERS[role]}/{task.number[1]:05d}-{task.number[2]:05d}-{number:05d}-{task.id}"
    return ShardInfo(path=path, role=role, samples=samples, size_bytes=9_000_000, digest=digest_of(path))  # type: ignore[arg-type]


if __name__ == "__main__":
    plan_rest(Path(sys.argv[1]))
