"""LLaVA-CC3M-Pretrain-595K's repository: one JSON array of conversations, and a zip of the pictures that it names.

Every sixtieth record is odd: its picture is not in the zip, is a page in its place, or is cut; it has a token too
many, or an answer too few.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gristmill.sources import cc3m
from gristmill.testing.hub import FakeHub
from gristmill.testing.odd_bytes import truncated
from gristmill.testing.pictures import shipped_pictures
from gristmill.testing.upstreams.base import Upstream
from gristmill.testing.web import FakeWeb

__all__ = ["UPSTREAMS", "write_llava_cc3m"]

_MOST_ROWS = 300
_WIDTH_PX = 200
_ODD_EVERY = 60
_CAPTIONS = ("a view of the place", "what the photographer saw that day", "somewhere far from here")


def write_llava_cc3m(folder: Path, rows: int) -> None:
    """Write ``chat.json`` and ``images.zip`` into a folder.

    Args:
        folder: Stands for the repository.
        rows: How many records.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as pictures:
        for number in range(rows):
            stem = f"GCC_train_{number * 3:09d}"
            asked = ("Say what the picture shows.\n<image>", "<image>\nDescribe it briefly.")[number % 2]
            answer = f"{_CAPTIONS[number % len(_CAPTIONS)]} , number {number}"
            body: bytes | None = shipped_pictures().get(number, width_px=_WIDTH_PX).data
            if number % _ODD_EVERY == _ODD_EVERY - 1:
                body, asked, answer = _odd(number // _ODD_EVERY % 5, body, asked, answer)
            if body is not None:
                pictures.writestr(zipfile.ZipInfo(f"{stem}.jpg"), body)
            said = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
            records.append({"id": stem, "image": f"{stem}.jpg", "conversations": said})
    (folder / "chat.json").write_text(json.dumps(records, indent=2))


def _odd(kind: int, body: bytes | None, asked: str, answer: str) -> tuple[bytes | None, str, str]:
    match kind:
        case 0:
            return None, asked, answer
        case 1:
            return b"<html>You have used up your quota.</html>", asked, answer
        case 2:
            return truncated(body or b""), asked, answer
        case 3:
            return body, f"<image>{asked}", answer
        case _:
            return body, asked, ""


@contextmanager
def _play(folder: Path, web: FakeWeb, rows: int) -> Iterator[str]:
    write_llava_cc3m(folder, min(rows, _MOST_ROWS))
    with FakeHub({cc3m.REPOSITORY: folder}, revision=cc3m.REVISION) as hub:
        yield hub.url


UPSTREAMS = {
    "llava-cc3m-595k": Upstream(
        play=_play,
        settings={"rows.part_rows": "100", "pack.shard_samples": "100"},
        exports=("llava", "vila-conversations"),
    )
}
