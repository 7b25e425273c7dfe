"""Made-up documents in MMC4's schema, whose images lie on the made-up web.

Documents have 1 to 12 images, mostly few. About one address in ten is dead or faulty, some occur in several
documents, and each file holds odd lines too: a malformed one, documents without images, and one whose image is
matched to a sentence that does not exist. Everything follows from the seed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gristmill.spec.sample import Json
from gristmill.testing.rows import coyo_rows
from gristmill.testing.web import FakeWeb

__all__ = ["MOST_IMAGES", "mmc4_document", "mmc4_lines", "write_mmc4"]

MOST_IMAGES = 12
_MANY = 0.15
_NO_IMAGES_EVERY = 25
_WORDS = ("river", "light", "wooden", "morning", "market", "small", "bright", "winter", "garden", "quiet")


def mmc4_document(
    urls: Sequence[str], sentences: Sequence[str], matched: Sequence[int], page: str = "http://page.test/"
) -> dict[str, Json]:
    """One document: image ``n`` at ``urls[n]``, matched to sentence ``matched[n]``."""
    similarities = [
        [0.3 if at == own else 0.15 + (7 * n + at) % 10 / 100 for at in range(len(sentences))]
        for n, own in enumerate(matched)
    ]
    return {
        "url": page,
        "text_list": list(sentences),
        "image_info": [
            {
                "image_name": f"{n:012x}.{url.rpartition('.')[2][:3]}",
                "raw_url": url,
                "matched_text_index": own,
                "matched_sim": 0.3,
                "face_detections": None,
            }
            for n, (url, own) in enumerate(zip(urls, matched, strict=True))
        ],
        "similarity_matrix": similarities,
        "could_have_url_duplicate": 0,
    }


def mmc4_lines(web: FakeWeb, count: int, seed: int = 0) -> list[bytes]:
    """Lines of one annotation file, without their ends; the odd ones are among them."""
    rng = np.random.default_rng([seed, 4])
    sizes = np.where(
        rng.random(count) < _MANY, rng.integers(5, MOST_IMAGES + 1, count), rng.integers(1, 5, count)
    )
    urls = coyo_rows(web, int(sizes.sum()), seed, first_row=seed * 100_000)["url"].to_pylist()
    ends = np.cumsum(sizes)
    lines = []
    for n, (end, size) in enumerate(zip(ends.tolist(), sizes.tolist(), strict=True)):
        sentences = [
            f"{' '.join(rng.choice(_WORDS, 5))} {n}." for _ in range(int(rng.integers(1, 9)) + size // 2)
        ]
        own = urls[end - size : end] if n % _NO_IMAGES_EVERY != 7 else []
        matched = rng.integers(0, len(sentences), len(own)).tolist()
        lines.append(
            json.dumps(mmc4_document(own, sentences, matched, f"http://page.test/{seed}/{n}")).encode()
        )
    lines[count // 2 : count // 2] = [
        b'{"url": "http://page.test/cut", "text_list": ["a line that was',
        json.dumps(mmc4_document(urls[:1], ["only one sentence"], [3])).encode(),
    ]
    return lines


def write_mmc4(
    folder: Path, web: FakeWeb, *, numbers: Sequence[int] = (2, 10), documents: int = 100
) -> list[Path]:
    """Write ``docs_no_face_shard_S_v3.jsonl.zip``, the last one plain, for each number S.

    Returns:
        The annotation files, in the numbers' order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in numbers:
        body = b"".join(line + b"\n" for line in mmc4_lines(web, documents, seed=number))
        path = folder / f"docs_no_face_shard_{number}_v3.jsonl"
        if number == numbers[-1]:
            path.write_bytes(body)
        else:
            path = path.with_name(f"{path.name}.zip")
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo(path.stem, (2023, 4, 1, 0, 0, 0)), body)
        paths.append(path)
    return paths
