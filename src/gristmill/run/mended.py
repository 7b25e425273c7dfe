"""A mended annotation file in the place of one that could not be read, in a folder that is begun.

A folder is pinned to its annotation files by their digests. Of a file that no step could read nothing was made, so
the dataset is the same as if it had been begun with the mended one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gristmill.ledger.begun import Begun, InputFile
from gristmill.ledger.ledger import Ledger
from gristmill.run.layout import Layout
from gristmill.run.pipeline import ROWS, SURVEY

__all__ = ["with_mended"]


def with_mended(found: Begun, wanted: Begun, folder: Path) -> Begun:
    """What a folder was begun with, with those files of ``wanted`` that stand for unreadable ones.

    Only files of which no record speaks are taken: where a survey had counted a file's rows, rows were chosen by
    that.
    """
    layout = Layout(folder)
    given = {(file.source, file.name): file for file in wanted.inputs}
    changed: dict[int, InputFile] = {}
    for position, was in enumerate(found.inputs):
        now = given.get((was.source, was.name))
        if now is not None and now.digest != was.digest and layout.unreadable(was.digest).is_file():
            changed[position] = replace(now, note=_note(was, now))
    if not changed:
        return found
    records = Ledger(folder).records.values()
    used = {record.number[1] for record in records if record.stage in {SURVEY, ROWS}}
    inputs = tuple(
        changed[n] if n in changed and n not in used else file for n, file in enumerate(found.inputs)
    )
    return replace(found, inputs=inputs, sources={**found.sources, **wanted.sources})


def _note(was: InputFile, now: InputFile) -> str:
    note = (
        f"the file of {was.size_bytes:,} bytes that the folder was begun with could not be read; this is another, of "
        f"{now.size_bytes:,} bytes"
    )
    return f"{now.note}; {note}" if now.note else note
