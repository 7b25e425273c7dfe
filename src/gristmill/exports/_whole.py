"""Exports that are a whole folder or none: one that is there already is told, not written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from gristmill.exports._exporter import Exported, Exporter, FinishedShards
from gristmill.exports._folder import found_whole, whole_folder
from gristmill.spec.sample import Json
from gristmill.spec.task import digest_of
from gristmill.storage.store import Place

__all__ = ["account_back", "account_of", "made_of", "written_whole"]


def made_of(
    exporter: Exporter, dataset: FinishedShards, revision: int, options: Mapping[str, Json] | None = None
) -> dict[str, Json]:
    """Say what a folder is made of, as plain data.

    Args:
        exporter: Its class and, unless ``options`` are given, its options.
        dataset: Its name and its shards.
        revision: Of the format as it is written here; raised when the same makes other files.
        options: Those that the files depend on.
    """
    return {
        "gristmill": revision,
        "format": type(exporter).__name__,
        "name": dataset.name,
        "shards": digest_of([shard.digest for shard in dataset.shards]),
        "options": asdict(exporter) if options is None else dict(options),
    }


def written_whole(
    out: Place,
    made_of: Mapping[str, Json],
    write: Callable[[Path], Iterator[Exported]],
    start: Callable[[Exported], str],
    keep: Collection[str] = (),
    *,
    by_shard: bool = True,
) -> Iterator[Exported]:
    """Write a folder, unless it is there and was made of the same.

    Args:
        out: Its place.
        made_of: See :func:`made_of`.
        write: Writes all into a folder, and yields the same account after each shard.
        start: The command that starts training on it, by its account: of the place where it lies now.
        keep: Hidden files and folders that belong to it.
        by_shard: What was written of a shard is not read again: into an object store it may go at once.

    Yields:
        The account, after each shard and at the end.

    Raises:
        UsageError: Something else lies there, or another export is writing it.
    """
    if (found := found_whole(out, made_of)) is not None:
        done = account_back(found)
    else:
        done = Exported()
        with whole_folder(out, made_of, keep) as work:
            for done in write(work.folder):
                if by_shard:
                    work.put()
                yield done
            work.account.update(account_of(done))
    done.start = start(done)
    yield done


def account_of(done: Exported) -> dict[str, Json]:
    """An account as plain data."""
    return {**asdict(done), "reasons": dict(done.reasons), "changed": dict(done.changed)}


def account_back(account: Mapping[str, Json]) -> Exported:
    """An account out of what :func:`account_of` made of it."""
    counters = {name: Counter[str](account[name]) for name in ("reasons", "changed")}
    return Exported(**{**account, **counters})
