"""Planning an index-only mixture of ten parts and ten million samples, of which only the manifests are there.

``gristmill plan`` reads no shard of a finished part; what a mixture takes of each follows from its manifest. How many
samples that is, is compared with the weight.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from bench.figure import Figure
from bench.measure import measured
from bench.paths import WORK

PARTS, SHARDS, SHARD_SAMPLES = 10, 100, 10_000
WEIGHTS = (0.013, 0.1, 0.333, 0.5, 0.9, 1.0, 1.0, 1.7, 2.5, 3.0)
SHARD_BYTES = 400_000_000


def mixtures() -> list[Figure]:
    """What planning costs, imports included, and how far the samples of the mixture are from its weights."""
    folder = WORK / "mixture-plan"
    shutil.rmtree(folder, ignore_errors=True)
    mixture = _write(folder)
    program, log = str(Path(sys.executable).with_name("gristmill")), WORK / "mixture-plan.json"
    cost = measured([program, "plan", str(mixture), "--out", str(folder), "--json"], log=log)
    said = json.loads(log.read_text())
    wanted = sum(weight * SHARDS * SHARD_SAMPLES for weight in WEIGHTS)
    if not said["counted"] or cost.returncode:
        raise RuntimeError(f"mixtures: {said['parts']}")
    shutil.rmtree(folder)
    samples = PARTS * SHARDS * SHARD_SAMPLES
    return [
        Figure(
            name=f"plan of a mixture of {PARTS} parts and {samples:,} samples",
            value=f"{cost.wall_s:.1f} s ({cost.cpu_s:.1f} CPU s), {cost.peak_rss_bytes / 1e9:.2f} GB",
            goal="under 10 s, 1 GB",
        ),
        Figure(
            name="samples of that mixture against its weights",
            value=f"{abs(said['samples'] / wanted - 1):.5%} apart",
            goal="within 0.1 %",
        ),
    ]


def _write(folder: Path) -> Path:
    """Manifests of finished parts, and the mixture's file."""
    text = "[shuffle]\nseed = 1\nindex_only = true\nshard_samples = 100000\n"
    for number, weight in enumerate(WEIGHTS):
        name = f"part-{number}"
        listed = [
            {
                "path": f"shards/{n:05d}.tar",
                "samples": SHARD_SAMPLES,
                "size_bytes": SHARD_BYTES,
                "sha256": hashlib.sha256(f"{number} {n}".encode()).hexdigest(),
            }
            for n in range(SHARDS)
        ]
        manifest = {
            "name": name,
            "version": "2026.12.1",
            "complete": True,
            "shards": listed,
            "checksum": hashlib.sha256(json.dumps(listed).encode()).hexdigest(),
        }
        (folder / name).mkdir(parents=True)
        (folder / name / "dataset.json").write_text(json.dumps(manifest))
        text += f'\n[[part]]\nfolder = "{name}"\nweight = {weight}\n'
    path = folder / "ten.toml"
    path.write_text(text)
    return path


if __name__ == "__main__":
    for figure in mixtures():
        print(figure.name, figure.value, figure.goal, sep=" | ")
