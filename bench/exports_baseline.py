"""The same exports as one writes them by hand: ``python exports_baseline.py FORMAT FOLDER OUT``.

``mds``: the tars by ``tarfile``, the samples to ``MDSWriter``, pictures as the bytes that they are. ``llava``: each
picture opened by Pillow and saved below ``media``, all rows in a list, one JSON at the end.
"""

import io
import json
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path


def samples(folder: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and parts, as they follow each other."""
    for path in sorted((folder / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            parts: dict[str, bytes] = {}
            last = ""
            for member in tar:
                key, _, part = member.name.partition(".")
                if parts and key != last:
                    yield last, parts
                    parts = {}
                last = key
                parts[part] = tar.extractfile(member).read()  # type: ignore[union-attr]
            if parts:
                yield last, parts


def mds(folder: Path, out: Path) -> float:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "exports"))
    from read_back import without_torchvision

    without_torchvision()
    from streaming import MDSWriter

    columns = {"key": "str", "caption": "str", "image": "jpeg", "json": "json"}
    started = time.monotonic()
    with MDSWriter(out=str(out), columns=columns) as writer:
        for key, parts in samples(folder):
            row = {"key": key, "caption": parts["txt"].decode(), "image": parts["jpg"], "json": parts["json"]}
            writer.write(row)
    return time.monotonic() - started


def llava(folder: Path, out: Path) -> float:
    from PIL import Image

    started = time.monotonic()
    (out / "media").mkdir(parents=True)
    rows = []
    for key, parts in samples(folder):
        Image.open(io.BytesIO(parts["jpg"])).convert("RGB").save(out / "media" / f"{key}.jpg")
        turns = [
            {"from": "human", "value": "<image>\nDescribe the picture."},
            {"from": "gpt", "value": parts["txt"].decode()},
        ]
        rows.append({"id": key, "image": f"{key}.jpg", "conversations": turns})
    (out / "train.json").write_text(json.dumps(rows))
    return time.monotonic() - started


if __name__ == "__main__":
    print(globals()[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3])))
