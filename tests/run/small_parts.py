"""Finished datasets made at once, and a mixture over them; as a script one process that mixes them.

``python small_parts.py SETTINGS.json``
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from small_world import Watcher, tree_of

from gristmill import mixtures
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.run.inputs.mixture_parts import find_parts
from gristmill.shards.samples import sample_parts
from gristmill.shards.webdataset import ShardSample, TarWriter, read_samples
from gristmill.spec.errors import GristmillError
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn

MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="small",
    version="2026.11.1",
    title="Small",
    description="A mixture for tests.",
    homepage="https://example.org",
    license="cc0-1.0",
    parts=({parts}),
    shuffle=Shuffle({shuffle}),
)
"""
PARTS = {"a-pictures": (3, 23), "b-text": (2, 101), "c-one": (1, 7)}
"""Part to shards and samples."""


def key(part: str, n: int) -> str:
    return f"{part}_{n:06d}"


def sample(part: str, n: int, rng: random.Random) -> tuple[Sample, dict[str, bytes]]:
    """A question and an answer; parts named after pictures have up to three."""
    bodies = {}
    if "pictures" in part:
        bodies = {f"{i:03d}.jpg": rng.randbytes(rng.randrange(3000)) for i in range(rng.randrange(4))}
    shown = tuple(Show(media=name) for name in bodies)
    question = Turn(
        role="user", parts=(*shown, Text(text=f"Question {n} of {part}? " + "é" * rng.randrange(900)))
    )
    answer = Turn(role="assistant", parts=(Text(text=f"Answer {n}"),))
    media = {name: MediaRef(size_bytes=len(body)) for name, body in bodies.items()}
    return Sample(key=key(part, n), media=media, turns=(question, answer), upstream={"n": n}), bodies


def write_part(
    folder: Path, *, shards: int = 2, samples: int = 20, version: str = "2026.11.1", keys: str | None = None
) -> Path:
    """A finished dataset: shards, and a manifest with what a mixture reads of it."""
    rng, name = random.Random(f"{folder.name} {samples}"), folder.name
    listed = []
    for shard in range(shards):
        path = folder / "shards" / f"{shard:05d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        first, last = shard * samples // shards, (shard + 1) * samples // shards
        with path.open("wb") as stream:
            tar = TarWriter(stream)
            for n in range(first, last):
                one, bodies = sample(keys or name, n, rng)
                for part, body in sample_parts(one, bodies):
                    tar.add(f"{one.key}.{part}", body)
            tar.close()
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        listed.append(
            {
                "path": f"shards/{path.name}",
                "samples": last - first,
                "size_bytes": len(body),
                "sha256": digest,
            }
        )
    said = {
        "name": name,
        "version": version,
        "complete": True,
        "shards": listed,
        "checksum": hashlib.sha256(repr(listed).encode()).hexdigest(),
        "settings": {},
        "only": None,
        "counts": {"packed": samples},
    }
    (folder / "dataset.json").write_text(json.dumps(said))
    return folder


def write_parts(out: Path, parts: Mapping[str, tuple[int, int]] = PARTS) -> Path:
    for name, (shards, samples) in parts.items():
        write_part(out / name, shards=shards, samples=samples)
    return out


def write_mixture(
    place: Path, parts: Mapping[str, str] | Sequence[str] = tuple(PARTS), shuffle: str = "seed=3, shards=8"
) -> Path:
    """A mixture's file; ``parts`` may map a name to what else its part is given."""
    more = parts if isinstance(parts, Mapping) else dict.fromkeys(parts, "")
    text = "".join(f"Part(name={name!r}, {given})," for name, given in more.items())
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(MIXTURE.format(parts=text, shuffle=shuffle))
    return place


def job(mixture: Path, out: Path, *, settings: Mapping[str, str] | None = None, **more: Any) -> Job:
    parts = find_parts(mixtures.find(str(mixture)), more.pop("parts_in", out), more.pop("sources", {}))
    return Job(
        load=partial(mixtures.load, str(mixture), dict(settings or {})),
        reference=str(mixture),
        folder=out / "small",
        settings=settings or {},
        resolved=parts.resolved,
        parts=parts.said,
        **more,
    )


def mix_here(mixture: Path, out: Path, **more: Any) -> tuple[Ended, Watcher]:
    watcher = Watcher()
    return run(job(mixture, out, **more), watcher), watcher


def mix_in_process(mixture: Path, out: Path, **more: Any) -> subprocess.Popen[str]:
    """The same in a process group of its own."""
    given = json.dumps({"mixture": str(mixture), "out": str(out), **more})
    return subprocess.Popen(
        [sys.executable, __file__, given],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def samples_of(folder: Path) -> list[list[ShardSample]]:
    """What lies in each shard, in order."""
    return [list(read_samples(path)) for path in sorted((folder / "shards").glob("*.tar"))]


def keys_of(folder: Path) -> list[list[str]]:
    return [[one.key for one in shard] for shard in samples_of(folder)]


def bytes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each shard, and of each file of references, by name; there is at least one."""
    found = tree_of(folder)
    for path in sorted((folder / "references").glob("*")):
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found
    return found


def main() -> int:
    given = json.loads(sys.argv[1])
    parts_in = given.pop("parts_in", None)
    if parts_in is not None:
        given["parts_in"] = Path(parts_in)
    if "span" in given:
        given["span"] = tuple(given["span"])
    try:
        ended, watcher = mix_here(Path(given.pop("mixture")), Path(given.pop("out")), **given)
    except GristmillError as err:
        sys.stderr.write(f"{type(err).__name__}: {err}")
        return err.exit_code
    sys.stderr.write("\n".join([*watcher.said, "complete" if ended.complete else "not complete"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
