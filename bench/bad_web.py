"""The same good pictures on a healthy web, and on one of which three hosts in ten stall, drip or reset.

``python -m bench.bad_web 6000 1`` runs this alone.
"""

import json
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.bad_web_server import BAD
from bench.contestants import Outcome, gristmill, race
from bench.figure import Figure, Options
from bench.paths import LISTS, say

PORT = 41_780
HOSTS = 250
TOTAL_S = 30.0
"""The longest deadline of a request: ``crawl.total_s``."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, and how long after its last request it ended."""

    outcome: Outcome
    requests: int
    tail_s: float


def bad_web(_files: object, options: Options) -> list[Figure]:
    """All figures about a web that is partly broken."""
    good = url_list(options.urls, bad=False)
    mixed = url_list(options.urls, bad=True)
    runs: list[dict[str, Run]] = []
    for number in range(options.rounds):
        say(f"bad web: round {number + 1} of {options.rounds}, {options.urls:,} good pictures")
        runs.append({"healthy": run(good, options.urls), "bad": run(mixed, options.urls)})
    ratios = [r["bad"].outcome.images_per_s / r["healthy"].outcome.images_per_s for r in runs]
    tails = [r["bad"].tail_s for r in runs]
    raw = {"rounds": [{name: asdict(one) for name, one in r.items()} for r in runs]}
    return [
        Figure(
            name="images/s on a web of which 30 % of the hosts are bad, against a healthy one",
            value=", ".join(f"{ratio:.0%}" for ratio in ratios),
            goal="at least 70 %",
            raw=raw,
        ),
        Figure(
            name="there, seconds from the last request to the end of the run",
            value=", ".join(f"{tail:.1f}" for tail in tails),
            goal=f"at most {TOTAL_S:g}",
        ),
    ]


def run(urls: Path, good: int) -> Run:
    """One crawl over a fresh server."""
    least = 0.995 * good / pq.read_metadata(urls).num_rows
    with _serving():
        outcome = race(replace(gristmill(), least_kept=least), urls)
        ended_at = time.time()
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/stats") as answer:
            stats = json.load(answer)
    if outcome.kept != good:
        raise RuntimeError(f"{outcome.kept:,} of {good:,} good pictures were kept")
    return Run(outcome=outcome, requests=stats["requests"], tail_s=ended_at - stats["last_at"])


def url_list(good: int, *, bad: bool) -> Path:
    """``good`` URLs of good hosts, and as many of each bad host as of each good one if ``bad``; in a mixed order."""
    path = LISTS / f"bad-web-{good}-{bad}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(1, HOSTS + 1)
    healthy = [number for number in numbers if number % 10 not in BAD]
    ill = [number for number in numbers if number % 10 in BAD]
    urls = [f"{_origin(healthy[n % len(healthy)])}/bad/{n}" for n in range(good)]
    if bad:
        extra = good * len(ill) // len(healthy)
        urls += [f"{_origin(ill[n % len(ill)])}/bad/{n}" for n in range(extra)]
    random.Random(good).shuffle(urls)
    pq.write_table(pa.table({"url": urls, "text": [f"picture {n}" for n in range(len(urls))]}), path)
    return path


def _origin(number: int) -> str:
    return f"http://127.0.{number // 256}.{number % 256}:{PORT}"


@contextmanager
def _serving() -> Iterator[None]:
    command = [sys.executable, "-m", "bench.bad_web_server", str(PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            if server.stdout is None or server.stdout.readline() != "ready\n":
                raise RuntimeError("the server did not start")
            yield
        finally:
            server.kill()


if __name__ == "__main__":
    for figure in bad_web((), Options(urls=int(sys.argv[1]), rounds=int(sys.argv[2]))):
        say(f"{figure.name}: {figure.value} ({figure.goal})")
