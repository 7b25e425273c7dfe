"""Pictures in archives: from LLaVA's records to shards, against unpacking all and opening each with Pillow.

``llava-cc3m-595k`` over 50,000 made-up records of two turns, in shuffled order, each about a JPEG of 640 x 480 of its
own. The pictures lie in four archives in equal shares: a zip that stores, a zip that deflates, a tar, a tar.gz.

``python -m bench.archives 0.02`` alone takes a fiftieth.
"""

import io
import json
import random
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from bench.figure import Figure, Options, spread
from bench.measure import Measurement, measured
from bench.paths import SHIPPED_PHOTOS, WORK, fresh, say

RECORDS = 50_000
WORKERS = 2
DRAWN, SIZE_PX, QUALITY = 400, (640, 480), 80
SEED = 17
ANSWER_WORDS = (6, 16)
RECIPE, SOURCE = "llava-cc3m-595k", "cc3m"
GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
BASELINES = {"one process": 1, "two processes": 2}
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """What is begun with."""

    records: Path
    archives: tuple[Path, ...]


def archives(_files: Sequence[Path], options: Options) -> list[Figure]:
    return race(RECORDS, options.rounds)


def race(records: int, rounds: int) -> list[Figure]:
    upstream = write_upstream(records)
    costs: dict[str, list[Measurement]] = {name: [] for name in ("gristmill", *BASELINES)}
    written = []
    for number in range(rounds):
        say(f"archives: round {number + 1} of {rounds}, {records:,} records")
        cost, share = run(upstream, records)
        costs["gristmill"].append(cost)
        written.append(share)
        for name, processes in BASELINES.items():
            costs[name].append(run_baseline(upstream, processes))
    raw = {who: [asdict(cost) for cost in some] for who, some in costs.items()}
    figures = [_absolute(name, records, some) for name, some in costs.items()]
    for name, goal in zip(BASELINES, ("at least 3", ""), strict=True):
        ratios = [
            theirs.wall_s / ours.wall_s for ours, theirs in zip(costs["gristmill"], costs[name], strict=True)
        ]
        figures.append(
            Figure(
                name=f"archives: records/s against unpacking and Pillow, {name}",
                value=spread(ratios),
                goal=goal,
                raw=raw,
            )
        )
    figures.append(
        Figure(name="archives: bytes written over the shards'", value=spread(written), goal="at most 1.05")
    )
    return figures


def run(upstream: Upstream, records: int) -> tuple[Measurement, float]:
    """From records to shards at its defaults; and the bytes it wrote over those of the shards."""
    out = fresh("archives")
    command = [GRISTMILL, "run", RECIPE, "--out", str(out), "--workers", str(WORKERS)]
    command += ["--source", f"annotations={upstream.records}"]
    for archive in upstream.archives:
        command += ["--source", f"{SOURCE}={archive}"]
    cost = measured(command, log=WORK / "logs" / "archives.log")
    packed = json.loads((out / RECIPE / "dataset.json").read_text())["counts"]["packed"]
    if packed != records:
        raise RuntimeError(f"{packed} of {records} records were packed")
    shards = sum(path.stat().st_size for path in (out / RECIPE / "shards").rglob("*.tar"))
    shutil.rmtree(out)
    return cost, cost.written_bytes / shards


def run_baseline(upstream: Upstream, processes: int) -> Measurement:
    out = fresh("archives-baseline")
    command = [
        sys.executable,
        "-m",
        "bench.archives_baseline",
        str(processes),
        str(upstream.records),
        str(out),
    ]
    cost = measured([*command, *map(str, upstream.archives)], log=WORK / "logs" / f"archives-{processes}.log")
    shutil.rmtree(out)
    return cost


def write_upstream(records: int) -> Upstream:
    """The records and the archives, written once."""
    folder = WORK / f"archives-{records}"
    names = ("stored.zip", "deflated.zip", "plain.tar", "packed.tar.gz")
    upstream = Upstream(records=folder / "chat.json", archives=tuple(folder / name for name in names))
    if upstream.records.exists():
        return upstream
    say(f"archives: writing {records:,} records and their pictures")
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(SEED)
    pictures = _pictures(draw)
    bounds = [records * n // len(names) for n in range(len(names) + 1)]
    for path, first, last in zip(upstream.archives, bounds[:-1], bounds[1:], strict=True):
        with closing(_opened(path)) as archive:
            put = _putter(archive)
            for number in range(first, last):
                put(_name(number), _marked(pictures[number % len(pictures)], number))
    numbers = list(range(records))
    draw.shuffle(numbers)
    rows = [_row(number, draw) for number in numbers]
    partial = upstream.records.with_suffix(".part")
    partial.write_text(json.dumps(rows))
    partial.rename(upstream.records)
    return upstream


def _opened(path: Path) -> zipfile.ZipFile | tarfile.TarFile:
    if path.suffix == ".zip":
        method = zipfile.ZIP_DEFLATED if path.stem == "deflated" else zipfile.ZIP_STORED
        return zipfile.ZipFile(path, "w", method)
    return tarfile.open(path, "w:gz") if path.suffix == ".gz" else tarfile.open(path, "w")


def _putter(archive: zipfile.ZipFile | tarfile.TarFile) -> Callable[[str, bytes], None]:
    if isinstance(archive, zipfile.ZipFile):
        return archive.writestr

    def put(name: str, body: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(body)
        archive.addfile(info, io.BytesIO(body))

    return put


def _pictures(draw: random.Random) -> list[bytes]:
    """Pieces of the photographs that come with the package."""
    photos = [Image.open(path).convert("RGB") for path in sorted(SHIPPED_PHOTOS.glob("*.jpg"))]
    made = []
    for number in range(DRAWN):
        photo = photos[number % len(photos)]
        width, height = photo.size
        left, top = int(draw.uniform(0, 0.3) * width), int(draw.uniform(0, 0.3) * height)
        body = io.BytesIO()
        box = (left, top, left + int(0.7 * width), top + int(0.7 * height))
        photo.resize(SIZE_PX, box=box).save(body, "JPEG", quality=QUALITY)
        made.append(body.getvalue())
    return made


def _marked(jpeg: bytes, number: int) -> bytes:
    """The same picture in other bytes: with a comment behind the start of image, so that no two are one file."""
    said = b"%012d" % number
    return jpeg[:2] + b"\xff\xfe" + (2 + len(said)).to_bytes(2, "big") + said + jpeg[2:]


def _name(number: int) -> str:
    return f"GCC_train_{number:09d}.jpg"


def _row(number: int, draw: random.Random) -> dict[str, object]:
    words = ("a", "man", "rides", "his", "bicycle", "along", "the", "old", "wall", "near", "some", "water")
    answer = " ".join(draw.choices(words, k=draw.randint(*ANSWER_WORDS)))
    turns = [{"from": "human", "value": "Give a brief description of the image.\n<image>"}]
    turns.append({"from": "gpt", "value": answer})
    return {"id": f"GCC_train_{number:09d}", "image": _name(number), "conversations": turns}


def _absolute(name: str, records: int, costs: Sequence[Measurement]) -> Figure:
    cost = sorted(costs, key=lambda cost: cost.wall_s)[len(costs) // 2]
    value = (
        f"{records / cost.wall_s:,.0f} records/s; {cost.cpu_s / records * 1000:.2f} ms CPU a record; "
        f"peak RSS (PSS) {cost.peak_rss_bytes / MB:,.0f} ({cost.peak_pss_bytes / MB:,.0f}) MB; "
        f"{cost.written_bytes / MB:,.0f} MB written"
    )
    return Figure(name=f"archives: {name}", value=value, goal="under 1 GB" if name == "gristmill" else "")


if __name__ == "__main__":
    part = float(sys.argv[1]) if len(sys.argv) > 1 else 1
    for figure in race(int(RECORDS * part), int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(f"| {figure.name} | {figure.value} | {figure.goal} |")
