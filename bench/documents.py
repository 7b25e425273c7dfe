"""Documents: MMC4-core against COYO-700M on the same images, against the published way, and its memory."""

import json
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.figure import Figure, Options
from bench.measure import Measurement, measured
from bench.paths import LISTS, WORK, fresh, say
from bench.server import HOSTS, HTTP_PORT, client_environment, serving

WORKERS = 2
PUBLISHED = (2, 300)
"""Files, and documents of each, of the race against the published way."""
DEAD = 0.10
"""Share of the images there that answer 404: some six in ten documents are then whole."""
FILES_GROW = (1, 10, 50)
DOCUMENTS_GROW = 150
GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
WORDS = ("river", "light", "wooden", "morning", "market", "small", "bright", "winter", "garden", "table")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run: its cost, what it kept, and what lay on the disk at its end."""

    documents: int
    images: int
    disk_bytes: int
    cost: Measurement

    @property
    def images_per_s(self) -> float:
        return self.images / self.cost.wall_s


def documents(files: Sequence[Path], options: Options) -> list[Figure]:
    """All figures about documents."""
    with serving():
        return [*against_coyo(files, options), *against_published(files, options), *growth(files)]


def against_coyo(files: Sequence[Path], options: Options) -> list[Figure]:
    rows = [address(files, n) for n in range(options.urls)]
    pages = write_documents("documents-all", [grouped(rows, 1)], 250)
    pairs = write_pairs(rows)
    ratios, raw = [], []
    for number in range(options.rounds):
        say(f"documents against pairs: round {number + 1} of {options.rounds}, {options.urls:,} images")
        one, other = run("mmc4-core", pages), run("coyo-700m", pairs, "--set", "select.share=1")
        ratios.append(one.images_per_s / other.images_per_s)
        raw.append({"mmc4-core": asdict(one), "coyo-700m": asdict(other)})
    return [figure("images/s of mmc4-core over coyo-700m's, same images", ratios, "at least 0.9", raw)]


def against_published(files: Sequence[Path], options: Options) -> list[Figure]:
    count, each = PUBLISHED
    rng = random.Random(9)
    rows = [address(files, n, dead=rng.random() < DEAD) for n in range(count * each * 12)]
    pages = write_documents("documents-published", [grouped(rows, 2)[: count * each]], each)
    times, memory, proportional, written, kept_after, raw = [], [], [], [], [], []
    for number in range(options.rounds):
        say(f"documents against the published way: round {number + 1} of {options.rounds}")
        ours, theirs = run("mmc4-core", pages, clean=True), run_published(pages)
        if ours.documents != theirs.documents:
            raise RuntimeError(f"ours kept {ours.documents} documents, the published way {theirs.documents}")
        times.append(theirs.cost.wall_s / ours.cost.wall_s)
        memory.append(ours.cost.peak_rss_bytes / theirs.cost.peak_rss_bytes)
        proportional.append(ours.cost.peak_pss_bytes / theirs.cost.peak_pss_bytes)
        written.append(ours.disk_bytes / theirs.disk_bytes)
        kept_after.append(shards_bytes() / theirs.disk_bytes)
        raw.append({"ours": asdict(ours), "theirs": asdict(theirs)})
    where = f"{count} files of {each} documents, {DEAD:.0%} of the images dead"
    return [
        figure(f"total time of the published way over ours, {where}", times, "at least 3.5", raw),
        figure("peak memory (RSS) of ours over the published way's", memory, "at most 0.33", []),
        figure("the same, shared pages counted once (PSS)", proportional, "", []),
        figure("bytes written by ours over the published way's", written, "at most 0.5", []),
        figure("bytes left, after `gristmill clean`, over the published way's", kept_after, "", []),
    ]


def growth(files: Sequence[Path]) -> list[Figure]:
    figures = []
    for count in FILES_GROW:
        say(f"documents: memory over {count} annotation files")
        rows = [address(files, n) for n in range(count * DOCUMENTS_GROW * 12)]
        pages = write_documents(
            "documents-growth", [grouped(rows, 3)[: count * DOCUMENTS_GROW]], DOCUMENTS_GROW
        )
        ran = run("mmc4-core", pages, workers=1)  # one file is one task: a second worker would be idle there
        rss, pss = ran.cost.peak_rss_bytes / 1e6, ran.cost.peak_pss_bytes / 1e6
        figures.append(
            Figure(
                name=f"mmc4-core, {count} annotation files, {ran.images:,} images, one worker: peak RSS (PSS)",
                value=f"{rss:.0f} ({pss:.0f}) MB; {ran.images_per_s:.0f} images/s",
                goal="flat",
                raw=asdict(ran),
            )
        )
    return figures


def figure(name: str, values: Sequence[float], goal: str, raw: Sequence[Any]) -> Figure:
    ordered = sorted(values)
    middle, spread = ordered[len(ordered) // 2], f" ({ordered[0]:.2f} to {ordered[-1]:.2f})"
    value = f"{middle:.2f}{spread if len(ordered) > 1 else ''}"
    return Figure(name=name, value=value, goal=goal, raw={"rounds": list(raw)})


# what is run


def run(recipe: str, source: Path, *extra: str, clean: bool = False, workers: int = WORKERS) -> Ran:
    """The tool at its defaults but for the permission to fetch from loopback."""
    out = fresh("documents")
    command = [
        *(GRISTMILL, "run", recipe, "--out", str(out), "--source", f"annotations={source}"),
        *("--allow-private-addresses", "--workers", str(workers), *extra),
    ]
    cost = measured(command, env=client_environment(), log=WORK / "logs" / f"{recipe}.log")
    counts = json.loads((out / recipe / "dataset.json").read_text())
    images = counts.get("documents", {}).get("images", {}).get("kept", counts["counts"]["packed"])
    disk_bytes = _size(out)
    if clean:
        measured([GRISTMILL, "clean", str(out)])
    return Ran(documents=counts["counts"]["packed"], images=images, disk_bytes=disk_bytes, cost=cost)


def run_published(source: Path) -> Ran:
    """Its three programs one after another, as one process tree."""
    out = fresh("published")
    program = f'"{sys.executable}" -m bench.documents_baseline'
    steps = (f'{program} {step} "{source}" "{out}"' for step in ("download", "filter", "merge"))
    log = WORK / "logs" / "published.log"
    cost = measured(["sh", "-c", " && ".join(steps)], env=client_environment(), log=log)
    kept = sum(int(path.read_text()) for path in (out / "jsonl-filtered").glob("*.count"))
    return Ran(documents=kept, images=0, disk_bytes=_size(out), cost=cost)


def shards_bytes() -> int:
    """Bytes left of the last run of the tool."""
    return _size(WORK / "out" / "documents")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# what it is run over


def address(files: Sequence[Path], number: int, *, dead: bool = False) -> str:
    name = "gone.jpg" if dead else files[number % len(files)].name
    return f"http://{HOSTS[number % len(HOSTS)]}:{HTTP_PORT}/{name}?n={number}"


def grouped(urls: Sequence[str], seed: int) -> list[list[str]]:
    """Documents of 1 to 12 images, four on average, until the addresses are used up."""
    rng, at, pages = random.Random(seed), 0, []
    while at < len(urls):
        size = rng.randint(5, 12) if rng.random() < 0.2 else rng.randint(1, 4)
        pages.append(list(urls[at : at + size]))
        at += size
    return pages


def write_documents(name: str, groups: Sequence[Sequence[Sequence[str]]], each: int) -> Path:
    """Annotation files of ``each`` documents in MMC4's schema."""
    folder = LISTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pages, rng = [page for group in groups for page in group], random.Random(5)
    for number in range(-(-len(pages) // each)):
        lines = [json.dumps(_document(urls, rng)) for urls in pages[number * each : (number + 1) * each]]
        (folder / f"docs_no_face_shard_{number}_v3.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def _document(urls: Sequence[str], rng: random.Random) -> dict[str, Any]:
    sentences = [" ".join(rng.choices(WORDS, k=14)) for _ in range(len(urls) + rng.randint(2, 12))]
    images = [
        {
            "image_name": f"{number:012x}.jpg",
            "raw_url": url,
            "matched_text_index": rng.randrange(len(sentences)),
            "matched_sim": 0.3,
            "face_detections": None,
        }
        for number, url in enumerate(urls)
    ]
    matrix = [[round(rng.uniform(0.1, 0.3), 6) for _ in sentences] for _ in urls]
    return {
        "url": "http://page.test/",
        "text_list": sentences,
        "image_info": images,
        "similarity_matrix": matrix,
        "could_have_url_duplicate": 0,
    }


def write_pairs(urls: Sequence[str]) -> Path:
    """An annotation file of COYO-700M over the same addresses, all of which its rule chooses."""
    folder = LISTS / "documents-as-pairs" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    rows = len(urls)
    columns = {
        "id": list(range(rows)),
        "url": list(urls),
        "text": ["a caption of some words"] * rows,
        "width": [640] * rows,
        "height": [480] * rows,
        "image_phash": ["0" * 16] * rows,
        "clip_similarity_vitb32": [0.4] * rows,
        "clip_similarity_vitl14": [0.4] * rows,
    }
    pq.write_table(pa.table(columns), folder / "part-00000.parquet")
    return folder.parent
