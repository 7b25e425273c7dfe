"""Examples of what was lost: the address, why, and what came in the picture's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.compute as pc

from gristmill.ledger.features import evenly
from gristmill.ledger.words import size_text
from gristmill.viewer.measures import batches

__all__ = ["Lost", "examples_of_loss"]

_OF_A_REASON = 3
_FILES_READ = 32
_BATCHES_READ = 8
_TEXT_CHARACTERS = 200
_COLUMNS = ("file", "row", "medium", "reason", "detail", "url", "status", "original_mime", "raw_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """One row or medium that is not in the shards.

    Attributes:
        address: As it was asked for, with whatever is not printable spelled out; empty where the row has none.
        link: The same as something to click on; empty where it is no plain web address.
        came: What came instead, in words; empty if nothing did.
        place: Where the row stands upstream.
    """

    reason: str
    address: str
    link: str
    came: str
    detail: str
    place: str


def examples_of_loss(tasks: Sequence[Sequence[Path]]) -> list[Lost]:
    """A few rows for each reason, those of a reason together, from a few fates files.

    Args:
        tasks: The fates files of each crawl task, that of the last round first.
    """
    found: dict[str, list[Lost]] = {}
    for paths in evenly(tasks, _FILES_READ):
        there = [path for path in paths if path.is_file()]
        for batch, last in islice(batches(there, _COLUMNS), _BATCHES_READ):
            fates = batch if last is None else batch.filter(last)
            for reason in pc.unique(fates["reason"].drop_null()).to_pylist():
                some = found.setdefault(reason, [])
                if len(some) < _OF_A_REASON:
                    places = pc.indices_nonzero(pc.equal(fates["reason"], reason))[: _OF_A_REASON - len(some)]
                    some += map(_lost, fates.take(places).to_pylist())
    return [lost for reason in sorted(found) for lost in found[reason]]


def _lost(fate: dict[str, Any]) -> Lost:
    url = fate["url"] or ""
    return Lost(
        reason=fate["reason"],
        address=visible(url),
        link=link_to(url),
        came=_came(fate),
        detail=visible(fate["detail"] or ""),
        place=visible(f"{fate['file']}, row {fate['row']:,}"),
    )


def _came(fate: dict[str, Any]) -> str:
    said = [f"HTTP {fate['status']}"] if fate["status"] is not None else []
    said += [fate["original_mime"]] if fate["original_mime"] else []
    said += [size_text(fate["raw_bytes"])] if fate["raw_bytes"] else []
    return ", ".join(map(visible, said))


def visible(text: str) -> str:
    """The text with everything spelled out that would not be seen, or turns the order of what stands beside it."""
    text = text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS] + " …"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def link_to(url: str) -> str:
    """The address if it is a plain one of the web, that a click may lead to; else nothing."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return url if plain and url.isprintable() and " " not in url and len(url) <= 2000 else ""
