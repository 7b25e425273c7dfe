"""URL lists over the corpus: distinct URLs, spread over the loopback hosts, with captions, as parquet."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from bench.paths import LISTS
from bench.server import HOSTS, HTTP_PORT, HTTPS_KEPT_PORT, HTTPS_PORT

Scheme = Literal["http", "https", "https-kept"]
PORTS: dict[Scheme, int] = {"http": HTTP_PORT, "https": HTTPS_PORT, "https-kept": HTTPS_KEPT_PORT}

WORDS = (
    "a the of in with on near old red blue green small large photograph picture street house garden river dog "
    "cat woman man child table chair window light evening morning market bridge boat mountain field flower tree "
    "stone wooden glass vintage new sale free shipping design pattern wall art print home kitchen recipe travel"
)


def url_list(files: Sequence[Path], count: int, scheme: Scheme = "http") -> Path:
    """A parquet file of ``count`` rows ``url``, ``text``: the corpus again and again, each URL distinct by its query.

    The corpus is already in a shuffled order, so any 1,000 rows have about the same mix of sizes and formats.
    """
    path = LISTS / f"{scheme}-{count}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    protocol, port = scheme.partition("-")[0], PORTS[scheme]
    rng, words = random.Random(count), WORDS.split()
    urls = [
        f"{protocol}://{HOSTS[number % len(HOSTS)]}:{port}/{files[number % len(files)].name}?n={number}"
        for number in range(count)
    ]
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 16))) for _ in range(count)]
    pq.write_table(pa.table({"url": urls, "text": texts}), path)
    return path


def read_urls(path: Path) -> list[str]:
    urls: list[str] = pq.read_table(path, columns=["url"]).column("url").to_pylist()
    return urls
