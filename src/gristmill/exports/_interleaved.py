"""Interleaved Parquet out of finished shards: one file for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gristmill.exports._vila import Manner
from gristmill.exports._writing import Exported, check_folder, shard_samples
from gristmill.shards.interleaved import InterleavedWriter, interleaved_row, made_of
from gristmill.shards.not_finite import put_back
from gristmill.shards.unfit import Unfit
from gristmill.spec.errors import UsageError
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import whole_file

__all__ = ["export_interleaved"]


def export_interleaved(
    folder: Path, shards: list[ShardInfo], out: Path, manner: Manner
) -> Iterator[Exported]:
    """Write ``NNNNN.parquet`` for each shard; files already written from the same shard are passed over.

    Yields:
        The same account after each shard.

    Raises:
        UsageError: ``out`` holds something else, or a sample is a conversation.
    """
    check_folder(
        out, {_name(number) for number in range(len(shards))}, "it would be read as one dataset with these"
    )
    done = Exported(form="interleaved")
    for number, shard in enumerate(shards):
        path = out / _name(number)
        stamp = json.dumps({"shard": shard.digest, "leave_out": manner.leave_out})
        if path.exists():
            found, count = made_of(path)
            if found != stamp:
                raise UsageError(
                    f"{path} was made of another dataset or with other options. Name an empty folder with --out."
                )
        else:
            count = _write(path, stamp, folder, shard, manner, done)
        done.shards += 1
        done.samples += count
        done.left_out += shard.samples - count
        yield done


def _name(number: int) -> str:
    return f"{number:05d}.parquet"


def _write(path: Path, stamp: str, folder: Path, shard: ShardInfo, manner: Manner, done: Exported) -> int:
    with whole_file(path) as stream, InterleavedWriter(stream, stamp) as writer:
        for sample in shard_samples(folder, shard):
            try:
                writer.add(interleaved_row(sample.key, put_back(sample.parts["json"]), sample.parts))
            except Unfit as err:
                if not manner.leave_out:
                    raise UsageError(
                        f"{folder / shard.path}: {err}. Leave such samples out, counted, with --leave-out."
                    ) from err
                done.reasons[err.kind] += 1
    return writer.count
