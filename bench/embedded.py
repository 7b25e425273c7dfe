"""Pictures within the rows: M3IT's way from annotation lines to shards, against the published one.

python -m bench.embedded [LINES [ROUNDS]]    without the other benchmarks
"""

import base64
import io
import json
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from bench.figure import Figure, Options, spread
from bench.measure import Measurement, measured
from bench.paths import LISTS, SHIPPED_PHOTOS, WORK, fresh, say

LINES = 20_000
WORKERS = 2
LINES_A_PICTURE = 3
"""Questions about the same picture stand near one another; fourteen subsets together have about that many."""
KINDS = (
    # share of the lines, (width_px, height_px), format, quality: sizes of lines as in the subsets' files
    (0.62, (640, 480), "JPEG", 80),  # vqa-v2, gqa, textcap, multi30k: 50 to 70 kB a line
    (0.18, (340, 460), "JPEG", 85),  # ocr-vqa, st-vqa: about 45 kB
    (0.10, (480, 320), "PNG", 0),  # clevr, nlvr: about 300 kB
    (0.08, (1000, 700), "JPEG", 88),  # visual-mrc: about 200 kB
    (0.02, (1700, 2200), "JPEG", 75),  # docvqa: about 1 MB
)
GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
BASELINES = ("lists", "checked", "prepared", "published")


def embedded(files: Sequence[Path], options: Options) -> list[Figure]:
    """All figures about rows that hold their pictures."""
    return race(LINES, options.rounds)


def race(lines: int, rounds: int) -> list[Figure]:
    source = write_lines(lines)
    size = _size(source) / 1e9
    costs: dict[str, list[Measurement]] = {name: [] for name in ("gristmill", *BASELINES)}
    for number in range(rounds):
        say(f"embedded: round {number + 1} of {rounds}, {lines:,} lines, {size:.2f} GB")
        costs["gristmill"].append(run(source, lines))
        for name in BASELINES:
            costs[name].append(run_baseline(name, source))
    figures = [_absolute(name, lines, some) for name, some in costs.items()]
    for name, goal in (("checked", "at least 2"), ("published", ""), ("prepared", ""), ("lists", "")):
        ratios = [
            theirs.wall_s / ours.wall_s for ours, theirs in zip(costs["gristmill"], costs[name], strict=True)
        ]
        raw = {who: [asdict(cost) for cost in some] for who, some in costs.items()}
        figures.append(Figure(name=f"samples/s against {name} (e)", value=spread(ratios), goal=goal, raw=raw))
    return figures


def run(source: Path, lines: int) -> Measurement:
    """From lines to shards with two workers, at its defaults."""
    out = fresh("embedded")
    command = [
        *(GRISTMILL, "run", "m3it-vqa-v2", "--out", str(out), "--source", f"annotations={source}"),
        *("--workers", str(WORKERS)),
    ]
    cost = measured(command, log=WORK / "logs" / "embedded.log")
    packed = json.loads((out / "m3it-vqa-v2" / "dataset.json").read_text())["counts"]["packed"]
    if packed != lines:
        raise RuntimeError(f"{packed} of {lines} lines were packed")
    shutil.rmtree(out)
    return cost


def run_baseline(name: str, source: Path) -> Measurement:
    out = fresh("embedded-baseline")
    file = next(source.rglob("train.jsonl"))
    command = [sys.executable, "-m", "bench.embedded_baseline", name, str(file), str(out)]
    cost = measured(command, log=WORK / "logs" / f"embedded-{name}.log")
    shutil.rmtree(out)
    return cost


def _absolute(name: str, lines: int, costs: Sequence[Measurement]) -> Figure:
    cost = sorted(costs, key=lambda cost: cost.wall_s)[len(costs) // 2]
    value = (
        f"{lines / cost.wall_s:,.0f} samples/s; {cost.cpu_s / lines * 1000:.2f} ms CPU a sample; "
        f"peak RSS (PSS) {cost.peak_rss_bytes / 1e6:,.0f} ({cost.peak_pss_bytes / 1e6:,.0f}) MB"
    )
    return Figure(name=f"embedded: {name}", value=value, goal="under 600 MB" if name == "gristmill" else "")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_lines(lines: int) -> Path:
    """A copy of the repository with one subset's file, written once."""
    folder = LISTS / f"embedded-{lines}"
    path = folder / "data" / "vqa" / "vqav2" / "train.jsonl"
    if path.exists():
        return folder
    say(f"embedded: writing {lines:,} lines")
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(11)
    weights = [kind[0] for kind in KINDS]
    picture = ""
    partial = path.with_suffix(".part")
    with partial.open("w", encoding="utf-8") as stream:
        for number in range(lines):
            if number % LINES_A_PICTURE == 0:
                picture = _picture(rng, number, rng.choices(KINDS, weights)[0])
            stream.write(json.dumps(_row(number, picture)) + "\n")
    partial.rename(path)
    return folder


def _row(number: int, picture: str) -> dict[str, Any]:
    return {
        "instruction": "Look at the picture and answer the question in a whole sentence. ",
        "inputs": f"What is the most striking thing in picture number {number}, and why does it catch the eye?",
        "image_base64_str": [picture],
        "outputs": f"It is the {number}th thing, for it stands out from its surroundings by its colour and size.",
        "meta": {"question_id": number, "split": "train"},
    }


def _picture(rng: random.Random, number: int, kind: tuple[float, tuple[int, int], str, int]) -> str:
    """Base64 of a piece of one of the photographs that come with the package."""
    _, size, form, quality = kind
    photo = _photo(number // LINES_A_PICTURE)
    width, height = photo.size
    left, top = int(rng.uniform(0, 0.3) * width), int(rng.uniform(0, 0.3) * height)
    box = (left, top, left + int(0.7 * width), top + int(0.7 * height))
    out = io.BytesIO()
    photo.resize(size, box=box).save(out, form, **({"quality": quality} if form == "JPEG" else {}))
    return base64.b64encode(out.getvalue()).decode()


@cache
def _photos() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(SHIPPED_PHOTOS.glob("*.jpg"))]


def _photo(number: int) -> Image.Image:
    photos = _photos()
    return photos[number % len(photos)]


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    for figure in race(*(given + [LINES, 1][len(given) :])):
        print(f"| {figure.name} | {figure.value} | {figure.goal} |")
