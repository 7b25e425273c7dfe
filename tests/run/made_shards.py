"""A finished dataset's folder out of samples alone: shards and the records that speak of them."""

import hashlib
import io

from PIL import Image

from gristmill.ledger.ledger import Ledger
from gristmill.shards.samples import sample_parts
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.locator import Url
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn
from gristmill.spec.task import ShardInfo, TaskRecord


def picture(n: int, kind: str = "JPEG") -> bytes:
    """A small picture of one colour; its size tells which."""
    out = io.BytesIO()
    Image.new("RGB", (16 + n % 200, 16), (n % 251, 99, 7)).save(out, kind)
    return out.getvalue()


def finished(folder, shards) -> list[ShardInfo]:
    """Write shards of ``(sample, bodies)`` and commit their records; returns what is in the ledger."""
    (folder / "shards").mkdir(parents=True)
    ledger, infos = Ledger(folder), []
    for number, samples in enumerate(shards):
        path = folder / "shards" / f"{number:05d}.tar"
        with path.open("wb") as stream:
            tar = TarWriter(stream)
            for sample, bodies in samples:
                for part, body in sample_parts(sample, bodies):
                    tar.add(f"{sample.key}.{part}", body)
            tar.close()
        body = path.read_bytes()
        info = ShardInfo(
            path=f"shards/{number:05d}.tar",
            role="shard",
            samples=len(samples),
            size_bytes=len(body),
            digest=hashlib.sha256(body).hexdigest(),
        )
        infos.append(info)
        ledger.commit(
            TaskRecord(
                task_id=f"{number:016x}",
                stage="pack",
                account="packing",
                number=(0, 0, number),
                outputs=(info,),
                samples_in=len(samples),
                kept=len(samples),
            )
        )
    ledger.close()
    return infos


def caption(n: int, text: str = "a cat"):
    """A captioned picture, as a crawl of COYO-700M makes it."""
    sample = Sample(
        key=f"{n:013d}",
        media={"jpg": MediaRef(at=Url(f"http://a.test/{n}.jpg"))},
        turns=(Turn(role="caption", parts=(Show(media="jpg"), Text(text=text))),),
        columns={"clip_sim": 0.5 + n / 1000},
        upstream={"id": n, "text": text},
    )
    return sample, {"jpg": picture(n)}


def document(n: int, sentences, matched, *, live=None, upstream=True):
    """A document of MMC4 whose pictures belong to the sentences ``matched``; ``live`` are those that came."""
    names = [f"{i:03d}.jpg" for i in range(len(matched)) if live is None or i in live]
    at = {i: [f"{k:03d}.jpg" for k, m in enumerate(matched) if m == i] for i in range(len(sentences))}
    parts = []
    for i, sentence in enumerate(sentences):
        parts += [Show(media=name) for name in at[i] if name in names]
        parts.append(Text(text=sentence))
    row = {
        "url": f"http://a.test/{n}.html",
        "text_list": list(sentences),
        "image_info": [
            {
                "image_name": f"{n:04x}{k}.png",
                "raw_url": f"http://a.test/{n}/{k}.png",
                "matched_text_index": m,
                "matched_sim": 0.25 + k / 100,
                "face_detections": None,
            }
            for k, m in enumerate(matched)
        ],
        "similarity_matrix": [
            [0.1 * k + 0.01 * i for i in range(len(sentences))] for k in range(len(matched))
        ],
        "could_have_url_duplicate": 0,
    }
    sample = Sample(
        key=f"00007-{n:06d}",
        media={name: MediaRef(at=Url(f"http://a.test/{n}/{name}")) for name in names},
        turns=(Turn(role="document", parts=tuple(parts)),),
        upstream=row if upstream else {"url": row["url"]},
    )
    return sample, {name: picture(10 * n + int(name[:3])) for name in names}


def conversation(n: int, turns, pictures: int = 0, *, context: str | None = None, kind: str = "JPEG"):
    """Questions and answers, alternating; the pictures stand before the first question."""
    end = {"JPEG": "jpg", "PNG": "png"}[kind]
    names = [f"{i:03d}.{end}" for i in range(pictures)]
    made = []
    for i, text in enumerate(turns):
        shows = tuple(Show(media=name) for name in names) if i == 0 else ()
        made.append(Turn(role=("user", "assistant")[i % 2], parts=(*shows, Text(text=text))))
    sample = Sample(
        key=f"q_{n:08d}",
        media={name: MediaRef() for name in names},
        turns=tuple(made),
        columns={} if context is None else {"dialogue_context": context},
        upstream={"n": n},
    )
    return sample, {name: picture(10 * n + i, kind) for i, name in enumerate(names)}
