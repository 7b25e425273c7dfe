"""Shards and ``sizes.json`` for open_clip, which then knows how many samples there are.

Reader: https://github.com/mlfoundations/open_clip, ``src/open_clip_train/data.py`` (``get_dataset_size``): file name
to samples, beside the shards. It passes over samples without a picture or a ``txt``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gristmill.exports._exporter import Exported, Exporter, FinishedShards
from gristmill.exports._in_place import give_name, said_of_keys, tar_shards
from gristmill.exports._whole import made_of, written_whole
from gristmill.shards.shape import Shape
from gristmill.spec.errors import UsageError

__all__ = ["EXPORTER", "OpenClip"]

_REVISION = 1
_PICTURES = frozenset({"jpg", "png", "jpeg", "webp"})


@dataclass(frozen=True, kw_only=True)
class OpenClip(Exporter):
    """open_clip's training: the shards under second names, and their sizes."""

    writes = "NNNNN.tar (links), sizes.json"
    reads = "captions of one picture each"
    loses = "nothing"
    needs_all = "The sizes of all of it can be written when it is."

    def export(self, dataset: FinishedShards, out: Path) -> Iterator[Exported]:
        """Link the shards, and write how many samples each has."""
        if why := _unfit(dataset.shape()):
            raise UsageError(f"{dataset.folder}: open_clip reads captions of one picture each, and {why}.")
        yield from written_whole(
            out,
            made_of(self, dataset, _REVISION),
            write=lambda work: _write(dataset, work),
            start=lambda done: _start(out, done.shards),
        )


def _write(dataset: FinishedShards, work: Path) -> Iterator[Exported]:
    done, sizes = Exported(form="captions", reader="open_clip", notes=said_of_keys(dataset)), {}
    for number, shard in enumerate(tar_shards(dataset)):
        name = f"{number:05d}.tar"
        give_name(shard.path, work / name)
        sizes[name] = shard.samples
        done.shards, done.samples = done.shards + 1, done.samples + shard.samples
        yield done
    (work / "sizes.json").write_text(json.dumps(sizes, indent=1))


def _start(out: Path, shards: int) -> str:
    data = f"{out.resolve()}/{{00000..{shards - 1:05d}}}.tar"
    return f"python -m open_clip_train.main --dataset-type webdataset --train-data {shlex.quote(data)}"


def _unfit(shape: Shape) -> str:
    """Why it would pass over samples of this shape, as a clause; empty if it would not."""
    if shape.positions:
        return "these have pictures by position"
    if shape.sets is None or any(len(one & _PICTURES) != 1 for one in shape.sets):
        return "not each of these has one JPEG, PNG or WebP"
    if any("txt" not in one for one in shape.sets):
        return "not each of these has a .txt"
    return ""


EXPORTER = OpenClip()
