"""Exports of 100,000 captioned pictures: to MDS against the library's writer, to LLaVA's JSON against a loop.

The baselines (``exports_baseline.py``) read the same tars. Each contestant says how long it took without its imports:
those of PyTorch would flatter ours.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure, Options, spread
from bench.measure import measured
from bench.paths import REPO, WORK, say

SAMPLES = 100_000
SHARD_SAMPLES = 10_000
PICTURES = 400
REVISION = 1
LOADERS = REPO / ".loaders" / "bin" / "python"
RACES = {"mds": ("MDSWriter", "at least 1"), "llava": ("a loop through Pillow", "at least 3")}


def exports(files: Sequence[Path], options: Options) -> list[Figure]:
    """Ours and the baseline in turns, into an empty folder each; the ratio of their times."""
    folder = dataset()
    figures = []
    for to, (baseline, goal) in RACES.items():
        if to == "mds" and not LOADERS.exists():
            raise RuntimeError("MosaicML's streaming is not there: make test-loaders")
        ratios, raw = [], []
        for number in range(options.rounds):
            say(f"exports: {to}, round {number + 1} of {options.rounds}, {SAMPLES:,} samples")
            runs = [
                ("ours", [sys.executable, "-m", "bench.exports", to]),
                (
                    "baseline",
                    [str(LOADERS if to == "mds" else sys.executable), "bench/exports_baseline.py", to],
                ),
            ]
            took = {name: _run(command, folder) for name, command in runs[:: -1 if number % 2 else 1]}
            ratios.append(took["baseline"] / took["ours"])
            raw.append(took)
        figures.append(
            Figure(
                name=f"export of {SAMPLES:,} samples to {to}, samples/s against {baseline}",
                value=spread(ratios),
                goal=goal,
                raw={"rounds_s": raw},
            )
        )
    return figures


def _run(command: Sequence[str], folder: Path) -> float:
    """Seconds that a contestant says it took; what it wrote is removed."""
    out, log = WORK / "exports-out", WORK / "exports.log"
    shutil.rmtree(out, ignore_errors=True)
    measured([*command, str(folder), str(out)], log=log, timeout_s=7200)
    shutil.rmtree(out)
    return float(log.read_text().splitlines()[-1])


def dataset() -> Path:
    """Finished shards of captioned JPEGs of 10 to 40 kB, written once."""
    from gristmill.shards.samples import sample_parts
    from gristmill.shards.webdataset import TarWriter
    from gristmill.spec.locator import Url
    from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn

    folder = WORK / f"exports-{SAMPLES}-r{REVISION}"
    if folder.exists():
        return folder
    say(f"exports: writing {SAMPLES:,} samples")
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "shards").mkdir(parents=True)
    pictures, listed = _pictures(), []
    for first in range(0, SAMPLES, SHARD_SAMPLES):
        path = part / "shards" / f"{first // SHARD_SAMPLES:05d}.tar"
        with path.open("wb") as stream:
            tar = TarWriter(stream)
            for n in range(first, min(SAMPLES, first + SHARD_SAMPLES)):
                body = pictures[n % len(pictures)]
                sample = Sample(
                    key=f"{n:012d}",
                    media={"jpg": MediaRef(at=Url(f"http://a.test/{n}.jpg"), size_bytes=len(body))},
                    turns=(Turn(role="caption", parts=(Show(media="jpg"), Text(text=f"Picture {n}."))),),
                    upstream={"id": n},
                )
                for name, stored in sample_parts(sample, {"jpg": body}):
                    tar.add(f"{sample.key}.{name}", stored)
            tar.close()
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        listed.append([f"shards/{path.name}", SHARD_SAMPLES, path.stat().st_size, digest])
    (part / "shards.json").write_text(json.dumps(listed))
    part.rename(folder)
    return folder


def _pictures() -> list[bytes]:
    from PIL import Image

    rng, found = random.Random(7), []
    for _ in range(PICTURES):
        side = rng.randrange(20, 44)
        noise = Image.frombytes("RGB", (side, side), rng.randbytes(3 * side * side))
        out = io.BytesIO()
        noise.resize((336, 336), Image.Resampling.BICUBIC).save(out, "JPEG", quality=rng.randrange(80, 96))
        found.append(out.getvalue())
    return found


def main() -> None:
    """``python -m bench.exports FORMAT FOLDER OUT``: one export by ours."""
    from dataclasses import replace

    from gristmill import exports as formats
    from gristmill.shards.shape import Shape
    from gristmill.spec.task import ShardInfo

    to, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    shards = tuple(
        ShardInfo(path=path, role="shard", samples=samples, size_bytes=size, digest=digest)
        for path, samples, size, digest in json.loads((folder / "shards.json").read_text())
    )
    shape = Shape()
    shape.take([("jpg", b""), ("txt", b""), ("json", b"{}")])
    exporter = formats.find(to)
    if to == "llava":
        exporter = replace(exporter, question="Describe the picture.")
    started = time.monotonic()
    made_of = formats.FinishedShards(folder=folder, shards=shards, name="bench", shape=lambda: shape)
    *_, done = exporter.export(made_of, out)
    assert done.samples == SAMPLES
    print(time.monotonic() - started)


if __name__ == "__main__":
    main()
