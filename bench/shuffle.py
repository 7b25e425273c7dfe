"""Shuffling a million text samples and twenty thousand with pictures into 128 shards.

Both contestants begin with finished parts, each in its own form, and end with 128 shuffled shards in that form: ours
with tars of fifteen datasets, the baseline (``shuffle_baseline.py``) with fifteen pickles.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import random
import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.figure import Figure
from bench.measure import Measurement, measured
from bench.paths import WORK, say

TEXTS = 1_000_000
PICTURES = 20_000
PICTURE_PARTS = 14
SHARD_TEXTS = 50_000
QUESTION_CHARS, ANSWER_CHARS = 795, 147  # means of FLAN
SEED = 13
REVISION = 1
MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="bench",
    version="2026.11.1",
    title="Bench",
    description="",
    homepage="https://example.org",
    license="cc0-1.0",
    parts=tuple(Part(name=name, published=name + ".pkl") for name in {names!r}),
    shuffle=Shuffle(seed=1, shards=128),
)
"""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The same samples twice: ``tars/NAME`` as finished datasets, ``pickles/NAME.pkl`` as lists of dicts."""

    folder: Path
    samples: int

    @property
    def tars(self) -> Path:
        return self.folder / "tars"

    @property
    def pickles(self) -> Path:
        return self.folder / "pickles"

    @property
    def mixture(self) -> Path:
        return self.folder / "bench.py"


def parts(scale: float = 1.0) -> Parts:
    """The parts, written once (a minute or two)."""
    texts, pictures = int(TEXTS * scale), int(PICTURES * scale)
    made = Parts(folder=WORK / f"shuffle-{texts}-{pictures}-r{REVISION}", samples=texts + pictures)
    if made.folder.exists():
        return made
    say(f"shuffle: writing {texts:,} texts and {pictures:,} samples with pictures")
    unfinished = Parts(folder=made.folder.with_suffix(".part"), samples=made.samples)
    shutil.rmtree(unfinished.folder, ignore_errors=True)
    unfinished.pickles.mkdir(parents=True)
    names = [f"m3it-{n:02d}" for n in range(PICTURE_PARTS)]
    for n, name in enumerate(names):
        first, last = n * pictures // PICTURE_PARTS, (n + 1) * pictures // PICTURE_PARTS
        _write_part(unfinished, name, last - first, SHARD_TEXTS, pictured=True)
    _write_part(unfinished, "text-flan", texts, SHARD_TEXTS, pictured=False)
    unfinished.mixture.write_text(MIXTURE.format(names=[*names, "text-flan"]))
    unfinished.folder.rename(made.folder)
    return made


def _samples(name: str, count: int, *, pictured: bool) -> Iterator[tuple[str, str, str, bytes | None]]:
    """Key, question, answer, picture (20 to 80 kB that no compressor shrinks, as a JPEG)."""
    rng = random.Random(f"{SEED} {name}")
    words = [
        "".join(rng.choice("etaoinshrdlucmfwypvbgk") for _ in range(rng.randrange(2, 10)))
        for _ in range(5000)
    ]
    pool = " ".join(rng.choice(words) for _ in range(200_000))
    for n in range(count):
        at, question = rng.randrange(len(pool) - 5000), int(rng.expovariate(1 / QUESTION_CHARS)) % 4000 + 20
        answer = int(rng.expovariate(1 / ANSWER_CHARS)) % 900 + 2
        picture = rng.randbytes(rng.randrange(20_000, 80_000)) if pictured else None
        text = pool[at : at + question + answer]
        yield f"{name.replace('-', '_')}_{n:08d}", text[:question], text[question:], picture


def _write_part(made: Parts, name: str, count: int, shard_samples: int, *, pictured: bool) -> None:
    from gristmill.shards.samples import sample_parts
    from gristmill.shards.webdataset import TarWriter
    from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn

    folder = made.tars / name / "shards"
    folder.mkdir(parents=True)
    source, items, listed = _samples(name, count, pictured=pictured), [], []
    for first in range(0, count, shard_samples):
        path = folder / f"{len(listed):05d}.tar"
        last = min(count, first + shard_samples)
        with path.open("wb") as stream:
            tar = TarWriter(stream)
            for _ in range(first, last):
                key, question, answer, picture = next(source)
                media = {} if picture is None else {"000.jpg": MediaRef(size_bytes=len(picture))}
                shown = tuple(Show(media=part) for part in media)
                turns = (
                    Turn(role="user", parts=(*shown, Text(text=question))),
                    Turn(role="assistant", parts=(Text(text=answer),)),
                )
                bodies = {} if picture is None else {"000.jpg": picture}
                for part, body in sample_parts(Sample(key=key, media=media, turns=turns), bodies):
                    tar.add(f"{key}.{part}", body)
                images = [] if picture is None else [base64.b64encode(picture).decode()]
                items.append({"question": question, "answer": answer, "id": key, "image": images})
            tar.close()
        body = path.read_bytes()
        listed.append(
            {
                "path": f"shards/{path.name}",
                "samples": last - first,
                "size_bytes": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
            }
        )
    manifest = {
        "name": name,
        "version": "2026.11.1",
        "complete": True,
        "shards": listed,
        "checksum": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
    }
    (folder.parent / "dataset.json").write_text(json.dumps(manifest))
    with (made.pickles / f"{name}.pkl").open("wb") as stream:
        pickle.dump(items, stream)


def mix(made: Parts, *settings: str) -> Measurement:
    """Ours, as a person runs it: start-up, checksums, card, manifest, report and syncing included."""
    out = WORK / "out" / "shuffle"
    shutil.rmtree(out, ignore_errors=True)
    names = sorted(path.name for path in made.tars.iterdir())
    command = [str(Path(sys.executable).with_name("gristmill")), "mix", str(made.mixture), "--out", str(out)]
    command += [word for name in names for word in ("--source", f"{name}={made.tars / name}")]
    command += ["--workers", "2", *(word for setting in settings for word in ("--set", setting))]
    _warm(made.tars)
    cost = measured(command)
    manifest = json.loads((out / "bench" / "dataset.json").read_text())
    over = made.samples % 128 if "shuffle.order=published" in settings else 0
    if not manifest["complete"] or manifest["counts"]["packed"] != made.samples - over:
        raise RuntimeError(f"shuffle: {manifest['counts']} of {made.samples:,}")
    shutil.rmtree(out)
    return cost


def baseline(made: Parts) -> Measurement:
    """The published way."""
    out = WORK / "out" / "shuffle-baseline"
    shutil.rmtree(out, ignore_errors=True)
    _warm(made.pickles)
    cost = measured([sys.executable, "-m", "bench.shuffle_baseline", str(made.pickles), str(out)])
    if len(list(out.glob("*.pkl"))) != 128:
        raise RuntimeError("the baseline wrote no 128 pickles")
    shutil.rmtree(out)
    return cost


def _warm(folder: Path) -> None:
    """Into the page cache: the figure is about the shuffle, not about the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                while stream.read(1 << 24):
                    pass


def shuffle(rounds: int, scale: float = 1.0) -> list[Figure]:
    made = parts(scale)
    contestants = {
        "gristmill mix": lambda: mix(made),
        "gristmill mix, shuffle.copy=true": lambda: mix(made, "shuffle.copy=true"),
        "gristmill mix, shuffle.order=published": lambda: mix(made, "shuffle.order=published"),
        "in memory (baseline)": lambda: baseline(made),
    }
    runs: dict[str, list[Measurement]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, run in contestants.items():
            runs[name].append(run())
            say(f"shuffle: round {number + 1}: {name}: {_said(runs[name][-1:])}")
    ratio = statistics.median(
        theirs.wall_s / ours.wall_s
        for ours, theirs in zip(runs["gristmill mix"], runs["in memory (baseline)"], strict=True)
    )
    raw: dict[str, Any] = {name: [asdict(cost) for cost in costs] for name, costs in runs.items()}
    return [
        *(
            Figure(name=f"{name}, {made.samples:,} samples", value=_said(costs))
            for name, costs in runs.items()
        ),
        Figure(name="shuffle against the baseline, wall", value=f"{ratio:.2f}", goal="at least 1", raw=raw),
        Figure(
            name="shuffle, peak memory",
            value=f"{max(cost.peak_rss_bytes for cost in runs['gristmill mix']) / 1e6:.0f} MB",
            goal="under 1 GB",
        ),
    ]


def _said(costs: list[Measurement]) -> str:
    wall_s = statistics.median(cost.wall_s for cost in costs)
    rss = max(cost.peak_rss_bytes for cost in costs) / 1e6
    pss = max(cost.peak_pss_bytes for cost in costs) / 1e6
    return f"{wall_s:.1f} s, {statistics.median(c.cpu_s for c in costs):.1f} CPU s, {rss:.0f} ({pss:.0f}) MB"


if __name__ == "__main__":
    for figure in shuffle(int(sys.argv[2]) if len(sys.argv) > 2 else 1, float(sys.argv[1])):
        print(figure.name, figure.value, figure.goal, sep=" | ")
