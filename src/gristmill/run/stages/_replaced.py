"""A mended annotation file in the place of one that could not be read, in a folder that is begun.

A folder is pinned to its annotation files by their digests. Of a file that no step could read nothing was made, so
the dataset is the same as if it had been begun with the mended one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.run.state import layout
from gristmill.spec.errors import UsageError
from gristmill.spec.sample import Json
from gristmill.storage.store import Store

__all__ = ["with_mended"]


def with_mended(
    found: RunConfig, wanted: RunConfig, store: Store, prescan: Callable[[InputFile], Json]
) -> RunConfig:
    """Say what a folder was begun with, with those files of ``wanted`` that stand for unreadable ones.

    Only files of which no rows were chosen are taken. Where a prescan had looked at the unreadable one, rows of all
    files are chosen by what it found: the mended one must give the same.

    Args:
        found: What the folder was begun with.
        wanted: What it would be begun with now.
        store: Where the dataset lies.
        prescan: What a prescan finds in an annotation file.

    Raises:
        UsageError: A mended file of which a prescan finds something else.
        SourceError: It cannot be prescanned.
    """
    given = {(file.source, file.name): file for file in wanted.inputs}
    changed: dict[int, InputFile] = {}
    for position, was in enumerate(found.inputs):
        now = given.get((was.source, was.name))
        if (
            now is not None
            and now.digest != was.digest
            and store.size(layout.unreadable(was.digest)) is not None
        ):
            changed[position] = replace(now, note=_note(was, now))
    if not changed:
        return found
    ledger = Ledger(store)
    used = {record.number[1] for record in ledger.of("reading")}
    changed = {position: file for position, file in changed.items() if position not in used}
    for record in ledger.of("looking"):
        if (file := changed.get(record.number[1])) is not None:
            _check_prescan(found.inputs[record.number[1]], record.found, prescan(file))
            ledger.void(record.task_id)  # the mended file has a prescan of its own
    ledger.close()
    inputs = tuple(changed.get(n, file) for n, file in enumerate(found.inputs))
    return replace(found, inputs=inputs, sources={**found.sources, **wanted.sources})


def _told(found: Json) -> str:
    if not isinstance(found, dict):
        return str(found)
    return ", ".join(
        f"{value:,} {key}" if isinstance(value, int) else f"{key} {value}" for key, value in found.items()
    )


def _check_prescan(was: InputFile, before: Json, now: Json) -> None:
    if orjson.loads(orjson.dumps(now)) != before:
        raise UsageError(
            f"{was.name} could not be read, and the file in its place is not the same mended: {_told(now)} where the "
            f"first had {_told(before)}. Rows of all files were chosen by that: put the right one there, or choose "
            "another folder with --out."
        )


def _note(was: InputFile, now: InputFile) -> str:
    note = (
        f"the file of {was.size_bytes:,} bytes that the folder was begun with could not be read; this is another, of "
        f"{now.size_bytes:,} bytes"
    )
    return f"{now.note}; {note}" if now.note else note
