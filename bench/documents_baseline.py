"""Baseline (d): how the published scripts prepare MMC4, written from their description; three programs in a row.

``download``: one asyncio process, aiohttp with 512 connections, no TLS verification, no timeout but the client's own.
All images of a document are asked for one after another, also after one of them was lost; a document is kept only if
all of them decode. They are shrunk as in baseline (b), turned to base64, and held in memory until the end, when
``pkl/SHARD.pkl`` is written: line number to ``{"000.jpg": base64, ...}``. ``filter``: the kept documents with their
line number to ``jsonl-filtered/SHARD.jsonl``, and their number to ``SHARD.count``. ``merge``: images put into the
documents, ``pkl-core/SHARD.pkl``.
"""

import asyncio
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import aiohttp
from PIL import UnidentifiedImageError

from bench.script_baseline import AT_ONCE, shrunk

Images = dict[str, str]


async def images_of(session: aiohttp.ClientSession, document: dict[str, Any]) -> Images | None:
    images: Images = {}
    for number, info in enumerate(document["image_info"]):
        try:
            async with session.get(info["raw_url"]) as response:
                if response.status == 200:
                    images[f"{number:03d}.jpg"] = shrunk(await response.read())
        except (aiohttp.ClientError, TimeoutError, UnidentifiedImageError, OSError):
            continue
    return images if len(images) == len(document["image_info"]) else None


async def download(source: Path, out: Path) -> None:
    documents = [
        (path.stem, number, json.loads(line))
        for path in sorted(source.glob("*.jsonl"))
        for number, line in enumerate(path.read_text().splitlines())
    ]
    connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=False)
    async with aiohttp.ClientSession(connector=connector) as session:
        found = await asyncio.gather(*(images_of(session, document) for _, _, document in documents))
    shards: dict[str, dict[int, Images]] = {}
    for (shard, number, _), images in zip(documents, found, strict=True):
        if images is not None:
            shards.setdefault(shard, {})[number] = images
    (out / "pkl").mkdir(parents=True)
    for shard, kept in shards.items():
        (out / "pkl" / f"{shard}.pkl").write_bytes(pickle.dumps(kept))


def filter_and_count(source: Path, out: Path) -> None:
    (out / "jsonl-filtered").mkdir()
    for path in sorted((out / "pkl").glob("*.pkl")):
        kept: dict[int, Images] = pickle.loads(path.read_bytes())  # written by our own baseline a moment ago
        lines = []
        for number, line in enumerate((source / f"{path.stem}.jsonl").read_text().splitlines()):
            if number in kept:
                document = json.loads(line)
                assert len(document["image_info"]) == len(kept[number])
                lines.append(json.dumps({**document, "org_idx": number}))
        (out / "jsonl-filtered" / f"{path.stem}.jsonl").write_text("".join(f"{line}\n" for line in lines))
        (out / "jsonl-filtered" / f"{path.stem}.count").write_text(str(len(lines)))


def merge(out: Path) -> int:
    (out / "pkl-core").mkdir()
    merged_in_all = 0
    for path in sorted((out / "pkl").glob("*.pkl")):
        kept: dict[int, Images] = pickle.loads(path.read_bytes())  # as above
        merged = []
        for line in (out / "jsonl-filtered" / f"{path.stem}.jsonl").read_text().splitlines():
            document = json.loads(line)
            images = kept[document.pop("org_idx")]
            for info, name in zip(document["image_info"], sorted(images), strict=True):
                info["image_base64"] = images[name]
            merged.append(document)
        (out / "pkl-core" / path.name).write_bytes(pickle.dumps(merged))
        merged_in_all += len(merged)
    return merged_in_all


if __name__ == "__main__":
    program, source_folder, out_folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if program == "download":
        asyncio.run(download(source_folder, out_folder))
    elif program == "filter":
        filter_and_count(source_folder, out_folder)
    else:
        print(merge(out_folder))
