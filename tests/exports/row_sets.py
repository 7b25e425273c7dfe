"""Made-up datasets of every kind, their exports, and what reads them back."""

import hashlib
import io
import json
import os
import struct
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from made_shards import caption, conversation, finished

from gristmill import exports
from gristmill.exports import FinishedShards
from gristmill.ledger.features import shape_of
from gristmill.ledger.ledger import Ledger
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn

LOADERS = Path(os.environ.get("GRISTMILL_LOADERS", Path(__file__).parents[2] / ".loaders/bin/python"))


def video(n: int):
    """A question about a video, whose bytes nobody decodes here."""
    turns = (
        Turn(role="user", parts=(Show(media="000.mp4"), Text(text="What?"))),
        Turn(role="assistant", parts=(Text(text=f"That – {n}."),)),
    )
    return Sample(key=f"v_{n:08d}", media={"000.mp4": MediaRef(kind="video")}, turns=turns), {
        "000.mp4": f"video {n}".encode() * 50
    }


SETS = {
    "captions": [[caption(n, f"a cat – {n}") for n in range(s, s + 300)] for s in (0, 300)],
    "chat": [
        [conversation(n, ["What?", "A – é."], n % 3) for n in range(5)],
        [conversation(n, ["And?", "B."], n % 2, kind="PNG") for n in range(5, 9)],
    ],
    "text": [[conversation(n, ["2 + 2?", "4"]) for n in range(4)]],
    "videos": [[video(n) for n in range(3)], [video(n) for n in range(3, 5)]],
    "mixed": [[caption(1), video(2), conversation(3, ["Q", "A"], 2), conversation(4, ["Q", "A"])]],
}


def made(folder, shards, name="made-set"):
    infos = finished(folder, shards)
    return FinishedShards(
        folder=folder, shards=tuple(infos), name=name, shape=partial(shape_of, Ledger(folder))
    )


def export(to, dataset, out, **options):
    return list(replace(exports.find(to), **options).export(dataset, out))[-1]


def told(value):
    """As ``read_back.py`` prints it."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return list(map(told, value)) if isinstance(value, list) else value


def read_mds(folder):
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for shard in index["shards"]:
        body = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(body) == shard["raw_data"]["bytes"]
        (count,) = struct.unpack_from("<I", body)
        assert count == shard["samples"]
        offsets = struct.unpack_from(f"<{count + 1}I", body, 4)
        assert offsets[-1] == len(body)
        config = json.loads(body[8 + 4 * count : offsets[0]])
        assert config["column_names"] == sorted(config["column_names"]) == shard["column_names"]
        for at in offsets[:-1]:
            sizes = struct.unpack_from(f"<{len(config['column_names'])}I", body, at)
            row, start = {}, at + 4 * len(sizes)
            columns = zip(config["column_names"], config["column_encodings"], sizes, strict=True)
            for name, encoding, size in columns:
                row[name] = decoded(encoding, body[start : start + size])
                start += size
            yield row


def decoded(encoding, value):
    if encoding.startswith("list"):
        nothing, count = struct.unpack_from("<2I", value)
        assert nothing == 0
        stream, sizes = io.BytesIO(value[8 + 4 * count :]), struct.unpack_from(f"<{count}I", value, 8)
        items = [stream.read(size) for size in sizes]
        assert not stream.read()
        return items
    return {"str": bytes.decode, "json": json.loads}.get(encoding, bytes)(value)


def read_by(loader, *folders):
    """What the real library reads of each folder, in its own environment."""
    if not LOADERS.exists():
        pytest.skip("the loaders are not there: make test-loaders")
    done = subprocess.run(
        [LOADERS, Path(__file__).with_name("read_back.py"), loader, *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    return [[sample for place, sample in lines if place == str(folder)] for folder in folders]
