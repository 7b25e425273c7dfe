"""Who runs against whom: the command line of each contestant, and how many images it kept."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from bench.measure import Measurement, measured
from bench.paths import IMG2DATASET_VENV, REPO, WORK, say
from bench.server import client_environment

IMG2DATASET_VERSION = "1.47.0"
# The best of 2 processes with 16, 32, 64 and 128 threads and of several shard sizes: see README.md, "Baselines".
IMG2DATASET_PROCESSES = 2
IMG2DATASET_THREADS = 64
WORKERS = 2
QUALITY = 75
SHORT_SIDE_PX = 336


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A program that turns a URL list into images.

    Attributes:
        command: URL list and output folder to the command line.
        kept: Output folder to the number of images kept.
        env: Variables set for it alone.
        least_kept: Share of the images that it must keep for a run to count: every URL here answers.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    kept: Callable[[Path], int]
    env: Mapping[str, str] = field(default_factory=dict)
    least_kept: float = 0.995


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run of one contestant."""

    contestant: str
    urls: int
    kept: int
    cost: Measurement

    @property
    def images_per_s(self) -> float:
        return self.kept / self.cost.wall_s

    @property
    def cpu_s_per_1000(self) -> float:
        return 1000 * self.cost.cpu_s / self.kept


def race(contestant: Contestant, urls: Path, *, env: Mapping[str, str] | None = None) -> Outcome:
    """Run ``contestant`` over a URL list in a fresh folder and throw its output away.

    Raises:
        RuntimeError: If it fails or keeps too few images.
    """
    out = WORK / "out" / contestant.name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    count = pq.read_metadata(urls).num_rows
    (WORK / "logs").mkdir(exist_ok=True)
    cost = measured(
        contestant.command(urls, out),
        env={**client_environment(), **contestant.env, **(env or {})},
        log=WORK / "logs" / f"{contestant.name}.log",
    )
    outcome = Outcome(contestant=contestant.name, urls=count, kept=contestant.kept(out), cost=cost)
    shutil.rmtree(out, ignore_errors=True)
    if outcome.kept < contestant.least_kept * count:
        raise RuntimeError(f"{contestant.name} kept {outcome.kept:,} of {count:,}: not a fair run")
    say(
        f"  {contestant.name:24} {outcome.images_per_s:7.1f} images/s  {outcome.cpu_s_per_1000:6.2f} CPU s/1,000  "
        f"{cost.peak_rss_bytes / 1e6:6.0f} MB RSS  {cost.peak_pss_bytes / 1e6:6.0f} MB PSS  {outcome.kept:,} kept"
    )
    return outcome


def gristmill(*extra: str, name: str = "gristmill") -> Contestant:
    """The tool itself, at its defaults but for the permission to fetch from loopback."""
    program = str(Path(sys.executable).with_name("gristmill"))

    def command(urls: Path, out: Path) -> list[str]:
        return [
            *(program, "crawl", str(urls), "--out", str(out), "--allow-private-addresses"),
            *("--url-column", "url", "--caption-column", "text", "--workers", str(WORKERS), *extra),
        ]

    return Contestant(name=name, command=command, kept=_members)


def img2dataset(
    *,
    processes: int = IMG2DATASET_PROCESSES,
    threads: int = IMG2DATASET_THREADS,
    shard_samples: int | None = None,
    extra: tuple[str, ...] = (),
) -> Contestant:
    """Baseline (a). By default two shards for each process, of equal size, so that none idles at the end."""

    def command(urls: Path, out: Path) -> list[str]:
        rows = pq.read_metadata(urls).num_rows
        samples = shard_samples or min(10_000, -(-rows // (2 * processes)))
        settings = {
            "url_list": urls,
            "input_format": "parquet",
            "url_col": "url",
            "caption_col": "text",
            "output_folder": out,
            "output_format": "webdataset",
            "resize_mode": "keep_ratio",
            "image_size": SHORT_SIDE_PX,
            "resize_only_if_bigger": True,
            "encode_quality": QUALITY,
            "processes_count": processes,
            "thread_count": threads,
            "number_sample_per_shard": samples,
        }
        program = img2dataset_venv() / "bin" / "img2dataset"
        return [str(program), *(f"--{key}={value}" for key, value in settings.items()), *extra]

    return Contestant(
        name="img2dataset", command=command, kept=_successes, env={"NO_ALBUMENTATIONS_UPDATE": "1"}
    )


def script() -> Contestant:
    """Baseline (b)."""

    def command(urls: Path, out: Path) -> list[str]:
        out.mkdir(parents=True)
        return [sys.executable, "-m", "bench.script_baseline", str(urls), str(out / "images.pkl")]

    # With 512 requests at once and decoding in the event loop, its ten seconds run out on a slow machine.
    return Contestant(name="script", command=command, kept=_pickled, least_kept=0.5)


def limit_s(job: str, urls: Path, env: Mapping[str, str] | None = None) -> float:
    """Wall seconds of one half of the limit (c): ``codec`` or ``fetch``."""
    command = [sys.executable, "-m", "bench.limit", job, str(urls)]
    every = {**os.environ, **client_environment(), **(env or {})}
    return float(
        subprocess.run(command, check=True, cwd=REPO, env=every, capture_output=True, text=True).stdout
    )


def img2dataset_venv() -> Path:
    """The environment of img2dataset, made if it is not there."""
    if not (IMG2DATASET_VENV / "bin" / "img2dataset").exists():
        say("img2dataset: making its environment")
        subprocess.run([sys.executable, "-m", "venv", str(IMG2DATASET_VENV)], check=True)
        pip = [str(IMG2DATASET_VENV / "bin" / "pip"), "install", "-q"]
        env = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
        subprocess.run([*pip, f"img2dataset=={IMG2DATASET_VERSION}", "setuptools<81"], check=True, env=env)
    return IMG2DATASET_VENV


def _successes(out: Path) -> int:
    return sum(json.loads(path.read_text())["successes"] for path in out.glob("*_stats.json"))


def _members(out: Path) -> int:
    """Images in the shards under ``out``, wherever the tool puts them."""
    listing = [
        subprocess.run(["tar", "-tf", str(shard)], check=True, capture_output=True, text=True).stdout
        for shard in sorted(out.rglob("*.tar"))
    ]
    return sum(name.endswith(".jpg") for text in listing for name in text.splitlines())


def _pickled(out: Path) -> int:
    with (out / "images.pkl").open("rb") as file:  # written by our own baseline a moment ago
        return len(pickle.load(file))
