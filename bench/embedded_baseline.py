"""Baseline (e): how the published scripts prepare M3IT, written from their description.

``prepared``: as users run it, through the ``datasets`` library: its builder writes the rows into an Arrow file (that
is what its loading script did before the first row came), and the rows are read from there into a list and pickled.
``published``: then what makes the trainer's folder: the pickle is loaded again, shuffled and cut into 128
pickles. ``lists``: without the library: each line by ``json.loads``, everything in lists, one pickle.
Pictures stay Base64 and are never decoded; ``checked`` is ``lists`` plus what a trainer does later: Base64 decoded,
and the picture by Pillow.

    python -m bench.embedded_baseline lists|checked|prepared|published FILE OUT
"""

import base64
import io
import json
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

PARTS = 128


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            yield {
                "instruction": row["instruction"],
                "inputs": row["inputs"],
                "image_base64_str": row["image_base64_str"],
                "outputs": row["outputs"],
            }


def sample(row: dict[str, Any]) -> dict[str, Any]:
    question = row["instruction"] + row["inputs"]
    return {"question": question, "answer": row["outputs"], "image": row["image_base64_str"]}


def lists(path: Path, out: Path, *, check: bool = False) -> None:
    columns: dict[str, list[Any]] = {"question": [], "answer": [], "image": []}
    for row in rows(path):
        made = sample(row)
        if check:
            for text in made["image"]:
                Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
        for name, values in columns.items():
            values.append(made[name])
    with (out / "train.pkl").open("wb") as stream:
        pickle.dump(columns, stream)


def prepared(path: Path, out: Path) -> None:
    from datasets import Dataset, Features, Value, disable_progress_bars
    from datasets import List as ListOf

    disable_progress_bars()
    text = Value("string")
    features = Features(
        {"instruction": text, "inputs": text, "image_base64_str": ListOf(text), "outputs": text}
    )
    built = Dataset.from_generator(
        rows, features=features, gen_kwargs={"path": path}, cache_dir=str(out / "cache")
    )
    samples = [sample(row) for row in built]
    with (out / "train.pkl").open("wb") as stream:
        pickle.dump(samples, stream)


def published(path: Path, out: Path) -> None:
    prepared(path, out)
    everything: list[Any] = []
    with (out / "train.pkl").open("rb") as stream:
        everything += pickle.load(stream)
    random.Random(1).shuffle(everything)
    size = len(everything) // PARTS
    for number in range(PARTS):
        part = everything[number * size : (number + 1) * size]
        with (out / f"part-{number:05d}.pkl").open("wb") as stream:
            pickle.dump(part, stream)
        (out / f"part-{number:05d}.count").write_text(str(len(part)))


def main() -> int:
    job, path, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    if job in ("prepared", "published"):
        {"prepared": prepared, "published": published}[job](path, out)
    else:
        lists(path, out, check=job == "checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
