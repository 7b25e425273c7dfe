"""Folders of pickles as VILA's scripts leave them, with odd items among them."""

import base64
import pickle
from functools import partial
from pathlib import Path

from made_shards import picture
from small_world import Watcher

from gristmill import recipes
from gristmill.run.begin import Job
from gristmill.run.driver import run


def b64(n: int, kind: str = "JPEG") -> str:
    return base64.b64encode(picture(n, kind)).decode()


def write(folder: Path, *lists, protocol: int = 4, count: bool = True) -> Path:
    """``part-NNNNN.pkl`` and ``.count`` for each list."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, items in enumerate(lists):
        (folder / f"part-{number:05d}.pkl").write_bytes(pickle.dumps(items, protocol))
        if count:
            (folder / f"part-{number:05d}.count").write_text(str(len(items)))
    return folder


def job(place: Path, folder: Path, settings=None, runtime=None, **more) -> Job:
    given = {"pack.shard_samples": "10", **(settings or {})}
    load = partial(recipes.load, "import", {"path": str(place)}, {**given, **(runtime or {})})
    return Job(load=load, reference="import", folder=folder, settings=given, runtime=runtime or {}, **more)


def take(place: Path, folder: Path, **more) -> Watcher:
    """Import in this process (with ``workers``, in others)."""
    watcher = Watcher()
    assert run(job(place, folder, **more), watcher).complete
    return watcher


def captions(start: int, stop: int):
    """Every other one in the older keys."""
    for n in range(start, stop):
        if n % 2:
            yield {"caption": f"caption {n}", "rawbytes": picture(n)}
        else:
            facts = {"id": n, "url": f"http://a.test/{n}.jpg", "clip_sim": n / 7}
            yield {**facts, "text": f"text {n} <image>", "image": b64(n)}


def documents(start: int, stop: int):
    for n in range(start, stop):
        yield {
            "url": f"http://a.test/{n}.html",
            "text_list": ["One.", f"Two <image> {n}.", "Three."],
            "image_info": [
                {
                    "image_name": f"{n}-{k}.png",
                    "raw_url": f"http://a.test/{n}/{k}.png",
                    "matched_text_index": (n + k) % 3,
                    "matched_sim": 0.3,
                    "face_detections": None,
                    "image_base64": b64(n + k),
                }
                for k in range(1 + n % 3)
            ],
            "similarity_matrix": [[0.1, 0.2, 0.3 + k] for k in range(1 + n % 3)],
            "shard": "docs_shard_7_v3",
            "shard_idx": n,
        }


def questions(start: int, stop: int):
    for n in range(start, stop):
        if n % 5 == 0:
            yield {"question": f"What {n}?", "answer:": "old", "image:": b64(n)}
        elif n % 5 == 1:
            dialogue = f"Image Descriptions: {n}\nQuestion: is it?\nAnswer: no\nQuestion: why?"
            yield {"question": dialogue, "answer": "so", "id": f"d{n}", "image": [b64(n)]}
        else:
            pictures = [b64(n + i, "PNG" if i % 2 else "JPEG") for i in range(n % 4)]
            yield {"question": f"What {n}?", "answer": f"this {n}", "id": n, "image": pictures}
