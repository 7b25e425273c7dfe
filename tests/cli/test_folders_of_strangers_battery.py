"""Finished datasets as strangers could have altered them, under every command: sentences in seconds, nothing beyond.

All that could be altered times all commands is too much: it is drawn by a fixed seed, and every value and every kind
of file is drawn.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_folders_of_strangers import finished, web
from typed import gristmill

__all__ = ["finished", "web"]

pytestmark = pytest.mark.slow

CANARY = "canary-of-somebody-else"
CHUNKS = 8
CASES_A_CHUNK = 60
SECONDS = 20
COMMANDS = (
    ("status", "{}"),
    ("status", "{}", "--json"),
    ("verify", "{}"),
    ("verify", "{}", "--repair"),
    ("export", "{}", "--to", "vila", "--out", "{}/../vila"),
    ("export", "{}", "--to", "webdataset-index", "--out", "{}/../index"),
    ("clean", "{}"),
    ("clean", "{}", "--dry-run"),
    ("retry", "{}", "--workers", "0", "--without-permissions"),
    ("retry", "{}", "--workers", "0", "--without-permissions", "--reason", "http_5xx,bad_row"),
    ("crawl", "{}/../urls.txt", "--out", "{}", "--workers", "0", "--set", "pack.shard_samples=2"),
    ("mix", "{}/../own.py", "--out", "{}/../mixed", "--parts", "{}/..", "--workers", "0"),
)
MIXTURE = (
    "from gristmill.spec.mixture import Mixture, Part\n"
    "from gristmill.steps.shuffle import Shuffle\n\n"
    'MIXTURE = Mixture(name="own", version="2026.1.1", title="T", description="D", '
    'homepage="https://example.org", license="CC0-1.0", parts=(Part(name="out", weight=1.0),), '
    "shuffle=Shuffle(shards=1))\n"
)
DEEP = b"[" * 3000 + b"]" * 3000
VALUES: tuple[bytes, ...] = (
    b'"../victim"',
    b'"@/victim"',
    b'"shards/../../victim"',
    b'"/dev/zero"',
    b'"/proc/self/environ"',
    b'"@"',
    b'".."',
    b'""',
    b'"\\u001b[2J\\u009b"',
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\xff"',
    b'"%s"' % (b"x" * 70_000),
    b"7",
    b"-1",
    b"1e300",
    b"9223372036854775808",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'["../victim"]',
    b'{"../victim": "../victim"}',
    DEEP,
)


def places(value: object, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values within a value."""
    if way:
        yield way
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*way, key))
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from places(item, (*way, n))


def put(value: Any, way: tuple[Any, ...], new: object) -> None:
    """Put something else at a place."""
    for step in way[:-1]:
        value = value[step]
    value[way[-1]] = new


class OutOfTime(Exception):
    """A command took too long."""


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def tried(
    finished: Path, place: Path, alter: Callable[[Path], None], words: tuple[str, ...], what: object
) -> None:
    """One command over an altered copy."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    (place / "victim").write_text(CANARY)
    (place / "own.py").write_text(MIXTURE)
    shutil.copy(finished.parent / "urls.txt", place)
    folder = Path(shutil.copytree(finished, place / "out"))
    alter(folder)
    signal.alarm(SECONDS)
    try:
        done = gristmill(*(word.format(folder) for word in words), code=None)
    except OutOfTime:
        pytest.fail(f"{what}: {words}: no end in {SECONDS} s")
    finally:
        signal.alarm(0)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1, 2, 3), (what, words, said)
    assert "This is a bug" not in said, (what, words, said)
    assert CANARY not in said, (what, words)
    assert not {"\x1b", "\x9b"} & {*said}, (what, words)
    assert (place / "victim").read_text() == CANARY, (what, words)
    expected = {"victim", "own.py", "__pycache__", "urls.txt", "out", "vila", "index", "mixed"}
    assert {path.name for path in place.iterdir()} <= expected, (what, words)
    for made in place.iterdir():
        if made.is_dir():
            for path in made.rglob("*"):
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 24:
                    assert CANARY.encode() not in path.read_bytes(), (what, words, path)


def drawn(seed: int, finished: Path) -> Iterator[tuple[str, tuple[Any, ...], bytes, tuple[str, ...]]]:
    """Files of JSON, places in them, values, commands."""
    rng = random.Random(seed)
    state = finished / ".gristmill"
    files = [state / "run.json", finished / "dataset.json", state / "seal.json"]
    files += 4 * sorted((state / "records").iterdir())  # most of the places are in records
    values = [VALUES[(seed + n) % len(VALUES)] for n in range(CASES_A_CHUNK)]
    for value in values:
        path = rng.choice(files)
        lines = (
            [orjson.loads(line) for line in path.read_bytes().splitlines()]
            if path.suffix == ".jsonl"
            else None
        )
        way = rng.choice(list(places(orjson.loads(path.read_bytes()) if lines is None else lines)))
        yield str(path.relative_to(finished)), way, value, rng.choice(COMMANDS)


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_no_value_of_a_state_file_leads_out(seed, finished, tmp_path):
    for name, way, value, words in drawn(seed, finished):

        def alter(folder: Path, name: str = name, way: tuple[Any, ...] = way, value: bytes = value) -> None:
            path = folder / name
            lines = path.suffix == ".jsonl"
            held = [orjson.loads(line) for line in path.read_bytes().splitlines()] if lines else None
            whole = orjson.loads(path.read_bytes()) if held is None else held
            put(whole, way, "@@@")
            body = b"".join(orjson.dumps(one) + b"\n" for one in held) if held else orjson.dumps(whole)
            path.write_bytes(body.replace(b'"@@@"', value.replace(b"@", os.fsencode(folder.parent))))

        tried(finished, tmp_path / "case", alter, words, (name, way, value[:30]))


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        server.bind(path.name)


def filled(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


SPECIAL: dict[str, Callable[[Path], None]] = {
    "removed": lambda path: None,
    "a FIFO": os.mkfifo,
    "a socket": a_socket,
    "a folder": Path.mkdir,
    "a filled folder": filled,
    "a link to another's": lambda path: path.symlink_to(
        Path(*path.parts[: path.parts.index("out")]) / "victim"
    ),
    "a link to its folder": lambda path: path.symlink_to("."),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link without end": lambda path: path.symlink_to("/dev/zero"),
    "empty": Path.touch,
    "huge": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 42),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00\x1b[2J" * 100) and None,
    "deep": lambda path: path.write_bytes(b"[" * 200_000) and None,
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_nothing_special_in_the_place_of_a_file_is_followed_or_waited_for(kind, finished, tmp_path):
    rng = random.Random(kind)
    files = sorted(path.relative_to(finished) for path in finished.rglob("*") if path.is_file())
    more = [
        Path(name)
        for name in (".gristmill/records/x.jsonl", "shards/00007.tar", "fates/x.parquet", ".gristmill/x")
    ]
    for name in [*files, *more]:

        def alter(folder: Path, name: Path = name) -> None:
            (folder / name).unlink(missing_ok=True)
            SPECIAL[kind](folder / name)

        tried(finished, tmp_path / "case", alter, rng.choice(COMMANDS), (kind, name))


def cells(path: Path, rng: random.Random) -> None:
    """Put something else into a column of a Parquet file."""
    table = pq.read_table(path)
    at = rng.randrange(table.num_columns)
    field = table.schema.field(at)
    values: list[Any] = ["../victim", "\x1b[2J", "", 7, -1, 1 << 62, None, b"\xff", [], 1e300]
    new = rng.choice(values)
    try:
        column = pa.array([new] * table.num_rows, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, OverflowError):
        column = pa.array([new] * table.num_rows)
    pq.write_table(table.set_column(at, field.name, column), path)


@pytest.mark.parametrize("seed", range(3))
def test_tables_of_another_content_are_refused_or_counted(seed, finished, tmp_path):
    rng = random.Random(seed)
    tables = sorted(path.relative_to(finished) for path in finished.rglob("*.parquet"))
    for _ in range(CASES_A_CHUNK // 2):
        name = rng.choice(tables)
        tried(
            finished,
            tmp_path / "case",
            lambda folder, name=name: cells(folder / name, rng),
            rng.choice(COMMANDS),
            name,
        )
