"""tdmrep.json, as W3C's TDM Reservation Protocol has it (Community Group Final Report of 10 May 2024).

A JSON array of rules ``{"location", "tdm-reservation", "tdm-policy"}``. The first whose location matches holds;
1 reserves, and all else does not. Locations are patterns as in robots.txt: ``*`` stands for any characters, ``$``
at the end for the end of the URL. A server that fails to give the file does not take part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from gristmill.crawl.guard import Target
from gristmill.crawl.patterns import Pattern, comparable
from gristmill.crawl.policy import READ_BYTES, PolicyFile, Ruling
from gristmill.spec.reasons import Reason

__all__ = ["TDMREP"]

_SILENT = Ruling()
_DAMAGED = Ruling(seen="tdmrep.json: damaged")


class _Rule(NamedTuple):
    location: Pattern
    ruling: Ruling


class _TdmRep:
    """Rules in their order; ``otherwise`` where none matches."""

    delay_s = 0.0

    def __init__(self, rules: Sequence[_Rule], otherwise: Ruling = _SILENT) -> None:
        self._rules = rules
        self._otherwise = otherwise

    def ruling(self, target: Target) -> Ruling:
        path = comparable(target.path)
        for rule in self._rules:
            if rule.location.matches(path):
                return rule.ruling
        return self._otherwise


def _read(body: bytes) -> _TdmRep:
    text = body.decode("utf-8-sig", "replace")
    if len(body) >= READ_BYTES:  # cut off by us: the rules before the cut are whole
        text = text[: text.rfind("}") + 1] + "]"
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        # Many servers answer whatever does not exist with a page.
        return _TdmRep((), _SILENT if text.lstrip().startswith("<") else _DAMAGED)
    if not isinstance(entries, list):
        return _TdmRep((), _DAMAGED)
    return _TdmRep([rule for entry in entries if (rule := _rule(entry)) is not None])


def _rule(entry: Any) -> _Rule | None:
    """One rule; None for what lacks a location or a reservation, which must both be there."""
    if not isinstance(entry, dict) or "tdm-reservation" not in entry:
        return None
    location, reservation = entry.get("location"), entry["tdm-reservation"]
    if not isinstance(location, str) or not location:
        return None
    ruling = _SILENT
    if reservation in (1, "1") and not isinstance(reservation, bool):
        policy = entry.get("tdm-policy")
        words = f"reserved by tdmrep.json: {location[:80]}" + (
            f", see {policy}" if isinstance(policy, str) else ""
        )
        ruling = Ruling(Reason.OPTED_OUT, words, "tdmrep.json: tdm-reservation=1")
    return _Rule(Pattern(location), ruling)


TDMREP = PolicyFile("tdmrep.json", "/.well-known/tdmrep.json", _read, failure_forbids=False)
