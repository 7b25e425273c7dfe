"""A page on which all parts of a training stand, each with a way to its own report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gristmill.ledger.part_state import PartState
from gristmill.storage.store import Place, store_at
from gristmill.viewer.report import template

__all__ = ["overview_bytes"]

_REPORT = "report.html"


def overview_bytes(title: str, beside: Place, parts: Sequence[PartState]) -> bytes:
    """The content of the page.

    Args:
        title: Of the page.
        beside: Where it will lie.
        parts: In order; those of a mixture stand before it.
    """
    done = sum(part.finished for part in parts)
    rows = [_row(beside, part) for part in parts]
    page = template("overview.html").render(title=title, rows=rows, done=done, of=len(parts))
    return page.encode()


def _row(beside: Place, part: PartState) -> dict[str, Any]:
    within, where = str(part.folder).removeprefix(f"{beside}/"), ""
    if isinstance(part.folder, Path) and isinstance(beside, Path) and part.folder.is_relative_to(beside):
        within = part.folder.relative_to(beside).as_posix()
    if within != str(part.folder) and store_at(part.folder).size(_REPORT) is not None:
        where = quote(f"{within}/{_REPORT}")
    return {
        "name": part.name,
        "inner": bool(part.of),
        "cells": part.cells(),
        "report": where,
        "finished": part.finished,
        "kept_percent": 100 * (part.kept or 0) / part.rows if part.rows else 0,
    }
