"""kill -9 of runs over archives and folders, in indexing and packing too, and of commands beside; ``make test-kill``.

The same command, given again until it ends, leaves what an undisturbed one leaves; whatever lies under a final name
in between is whole.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import psutil
import pytest
from small_world import check_final_names, temporaries, tree_of

from gristmill.testing import archived
from gristmill.testing.archives import foldered, tar_gzipped, tarred, zipped
from gristmill.testing.pictures import shipped_pictures

pytestmark = [pytest.mark.kill, pytest.mark.timeout(600)]

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
PICTURES = 240
ROWS = 1200
MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="both", version="2026.12.1", title="", description="", homepage="https://example.org", license="other",
    parts=(Part(name="toy-zip", weight=3), Part(name="toy-tar", prefix="t-")),
    shuffle=Shuffle(seed=2, shards=4, index_only=True),
)
"""
Words = list[object]


@dataclass(frozen=True)
class Killed:
    """A command: its words for an output, what it leaves there, and what must hold when it was killed."""

    words: Callable[[Path], Words]
    left: Callable[[Path], dict[str, str]]
    look: Callable[[Path, dict[str, str]], None]


def dataset(name: str) -> tuple[Callable[[Path], dict[str, str]], Callable[[Path, dict[str, str]], None]]:
    def look(out: Path, _: dict[str, str]) -> None:
        if (out / name / ".gristmill").is_dir():
            check_final_names(out / name)

    return lambda out: tree_of(out / name), look


def files_of(place: Path) -> dict[str, str]:
    """Digests of all files in a folder, or of one and those that are called after it."""
    paths = place.rglob("*") if place.is_dir() else place.parent.glob(f"{place.name}*")
    return {
        path.relative_to(place.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def whole_or_absent(out: Path, wanted: dict[str, str]) -> None:
    assert files_of(out).items() <= wanted.items()


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> dict[str, Killed]:
    base = tmp_path_factory.mktemp("archives")
    small = shipped_pictures()
    members = {f"images/{n:05d}.jpg": small.get(n, width_px=96).data for n in range(PICTURES)}
    rows = base / "rows.jsonl"
    with rows.open("w") as out:
        for n in range(ROWS):
            row = {"id": n, "image": f"toy/images/{n % PICTURES:05d}.jpg", "caption": f"picture {n}"}
            out.write(json.dumps(row) + "\n")
    places = {
        "zip": zipped(base / "a.zip", members),
        "tar": tarred(base / "a.tar", members),
        "tar_gz": tar_gzipped(base / "a.tar.gz", members),
        "folder": foldered(base / "tree/toy", members).parent,
    }

    def run(kind: str) -> Killed:
        recipe = Path(archived.__path__[0]) / f"{kind}.py"
        given = ["--source", f"annotations={rows}", "--source", f"pictures={places[kind]}"]
        more = ["--set", "rows.part_rows=60", "--set", "pack.shard_samples=100", "--set", "media.phash=true"]
        left, look = dataset(f"toy-{kind.replace('_', '-')}")
        return Killed(lambda out: ["run", recipe, "--out", out, *given, *more, "--workers", 2], left, look)

    few = foldered(base / "few", dict(list(members.items())[:60]))
    talks, made, both = base / "talks.json", base / "made", base / "both.py"
    said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A picture."}]
    records = [
        {"id": n % 900, "image": f"images/{n % (PICTURES + 4):05d}.jpg", "conversations": said}
        for n in range(ROWS)
    ]
    talks.write_text(json.dumps(records))
    both.write_text(MIXTURE)
    for kind in ("zip", "tar"):
        subprocess.run(typed(run(kind).words(made)), check=True, capture_output=True)

    def writes(*words: object) -> Killed:
        return Killed(lambda out: [*words, "--out", out], files_of, whole_or_absent)

    exported = ("export", made / "toy-zip", "--to", "llava", "--question", "What?", "--root", "/there")
    mixed = ("mix", both, "--parts", made, "--workers", 2)
    return {
        **{kind: run(kind) for kind in places},
        "check": replace(
            writes(),
            words=lambda out: ["check", talks, "--media", places["zip"], "--workers", 2, "--fix", out],
        ),
        "export": writes(*exported),
        "mix": Killed(
            lambda out: [*mixed, "--out", out],
            lambda out: files_of(out / "both/references"),
            lambda out, wanted: whole_or_absent(out / "both/references", wanted),
        ),
        "hashes": writes("hashes", few, "--thumbnails"),
        "duplicates": writes("duplicates", made),
    }


def typed(words: Words) -> list[str]:
    return [GRISTMILL, *map(str, words)]


def killed_after(words: Words, seconds: float) -> int | None:
    """The exit code, or None where it was killed: with its group, and workers that are groups of their own."""
    process = subprocess.Popen(
        typed(words), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    tree = []
    with suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(tree, 10)[1]
    return None


RUNS, OTHERS = ["zip", "tar", "tar_gz", "folder"], ["check", "export", "mix", "hashes", "duplicates"]


@pytest.mark.parametrize(("name", "seed"), [*product(RUNS, range(3)), *((name, 0) for name in OTHERS)])
def test_killed_and_given_again(name, seed, commands, tmp_path):
    command, rng = commands[name], random.Random(f"{name} {seed}")
    alone, out = tmp_path / "alone/out", tmp_path / "killed/out"
    for place in (alone, out):
        place.parent.mkdir()
    began = time.monotonic()
    ended = subprocess.run(typed(command.words(alone)), capture_output=True, check=False)
    whole_s = time.monotonic() - began
    assert ended.returncode in (0, 3), ended.stderr
    wanted = command.left(alone)
    assert wanted
    code = None
    for _ in range(rng.choice((3, 4, 5))):
        code = killed_after(command.words(out), whole_s * (0.2 + 0.9 * rng.random()))
        command.look(out, wanted)
        if code is not None:
            break
    if code is None:
        code = killed_after(command.words(out), 300)
    assert code == ended.returncode
    assert command.left(out) == wanted
    assert temporaries(out.parent) == []
    assert sorted(path.name for path in out.parent.iterdir()) == sorted(
        path.name for path in alone.parent.iterdir()
    )
