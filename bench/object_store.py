"""A crawl into an object store against one into a folder: the same URLs, in turns.

The store is SeaweedFS on loopback, with its files on the same disk as the folder; it counts its requests itself. It
shares the two cores with the command and the web server.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contestants import Contestant, Outcome, gristmill, race
from bench.figure import Figure, Options, spread
from bench.paths import fresh, say
from bench.server import serving
from bench.urls import url_list
from gristmill.ledger.ledger import Ledger
from gristmill.storage.object import ObjectStore
from gristmill.testing.seaweed import seaweed

METRICS_PORT = 21_470
WARM_UP = 300


@dataclass
class There:
    """Crawls into the store, each to a prefix of its own.

    Attributes:
        requests: Of each crawl, by method and status.
        goals: Of each crawl, ten for a task and three for a shard.
    """

    options: dict[str, str]
    cache: Path
    requests: list[Counter[str]] = field(default_factory=list)
    goals: list[int] = field(default_factory=list)
    begun: int = 0

    @property
    def _store(self) -> ObjectStore:
        return ObjectStore(f"s3://bucket/crawl-{self.begun}", self.options)

    def contestant(self) -> Contestant:
        here = gristmill()
        env = {f"AWS_{name.upper()}": value for name, value in self.options.items()}
        return replace(
            here,
            name="gristmill into a store",
            command=lambda urls, _: self._begun(here.command(urls, Path("OUT"))),
            kept=lambda _: self._kept(),
            env={**env, "GRISTMILL_CACHE": str(self.cache)},
        )

    def _begun(self, words: list[str]) -> list[str]:
        shutil.rmtree(self.cache, ignore_errors=True)
        self.begun += 1
        self._before = _answered()
        return [str(self._store) if word == "OUT" else word for word in words]

    def _kept(self) -> int:
        """Count the pictures in the shards; and, before that, what the crawl asked."""
        asked, store = _answered() - self._before, self._store
        ledger = Ledger(store)
        self.goals.append(10 * len(ledger.records) + 3 * len(ledger.shards()))
        self.requests.append(asked)
        kept = 0
        for one in store.list("shards"):
            if one.name.endswith(".tar"):
                with tarfile.open(fileobj=io.BytesIO(store.read(one.name))) as tar:
                    kept += sum(name.endswith(".jpg") for name in tar.getnames())
        return kept


def object_store(files: Sequence[Path], options: Options) -> list[Figure]:
    """Images a second of both, the requests of the one into the store, and memory."""
    urls, folder = url_list(files, options.urls), fresh("seaweed")
    local: list[Outcome] = []
    stored: list[Outcome] = []
    with serving(), seaweed(folder, words=[f"-metricsPort={METRICS_PORT}"]) as bucket:
        there = There(bucket, fresh("object-store-cache"))
        for contestant in (gristmill(), there.contestant()):
            race(contestant, url_list(files, WARM_UP))
        there.requests, there.goals = [], []
        for number in range(options.rounds):
            say(f"store: round {number + 1} of {options.rounds}, {options.urls:,} URLs")
            turns = [(local, gristmill()), (stored, there.contestant())]
            for outcomes, contestant in turns if number % 2 == 0 else reversed(turns):
                outcomes.append(race(contestant, urls))
    for place in (folder, there.cache):
        shutil.rmtree(place, ignore_errors=True)
    ratios = [one.images_per_s / other.images_per_s for one, other in zip(stored, local, strict=True)]
    memory = [max(one.cost.peak_rss_bytes for one in outcomes) / 1e6 for outcomes in (stored, local)]
    raw = {"requests": [dict(asked) for asked in there.requests], "goals": there.goals}
    return [
        Figure(
            name=f"images/s into an object store against a folder, {options.urls:,} URLs",
            value=spread(ratios),
            goal="at least 0.85",
        ),
        Figure(
            name="requests to the store",
            value=spread([asked.total() for asked in there.requests], "{:,.0f}"),
            goal=f"at most {min(there.goals):,}: 10 a task and 3 a shard",
            raw=raw,
        ),
        Figure(name="peak RSS, object store and folder", value=f"{memory[0]:.0f}, {memory[1]:.0f} MB"),
    ]


def _answered() -> Counter[str]:
    """Requests so far by method and status, as the store counts them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: Counter[str] = Counter()
    for line in lines:
        if line.startswith("SeaweedFS_s3_request_total{"):
            labels = dict(
                label.split("=", 1) for label in line[line.index("{") + 1 : line.index("}")].split(",")
            )
            kind = f"{labels['type']} {labels['code']}".replace('"', "")
            found[kind] += int(float(line.rpartition(" ")[2]))
    return found
