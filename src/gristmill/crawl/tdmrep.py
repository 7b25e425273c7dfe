"""tdmrep.json, as W3C's TDM Reservation Protocol has it (Community Group Final Report of 10 May 2024).

A JSON array of rules ``{"location", "tdm-reservation", "tdm-policy"}``. The first whose location matches holds;
1 reserves, and all else does not. Locations are patterns as in robots.txt: ``*`` stands for any characters, ``$``
at the end for the end of the URL. A server that fails to give the file does not take part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from gristmill.crawl.guard import Target
from gristmill.crawl.policy import READ_BYTES, PolicyFile, Ruling
from gristmill.spec.reasons import Reason

__all__ = ["TDMREP"]

_SILENT = Ruling()
_DAMAGED = Ruling(seen="tdmrep.json: damaged")
_KEPT_ESCAPE = re.compile(r"%(2[Ff]|25)")


class _Rule(NamedTuple):
    parts: tuple[str, ...]
    """The location, cut at its stars."""
    to_end: bool
    ruling: Ruling


class _TdmRep:
    """Rules in their order; ``otherwise`` where none matches."""

    delay_s = 0.0

    def __init__(self, rules: Sequence[_Rule], otherwise: Ruling = _SILENT) -> None:
        self._rules = rules
        self._otherwise = otherwise

    def ruling(self, target: Target) -> Ruling:
        path = _comparable(target.path)
        for rule in self._rules:
            if _matches(rule, path):
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
    pattern = location.removesuffix("$")
    return _Rule(tuple(map(_comparable, pattern.split("*"))), pattern != location, ruling)


def _matches(rule: _Rule, path: str) -> bool:
    """Whether a rule holds for a path; in time proportional to both, whatever the pattern."""
    first, *middle = rule.parts
    if not path.startswith(first):
        return False
    if not middle:
        return not rule.to_end or path == first
    last = middle.pop()
    at = len(first)
    for part in middle:
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return path.endswith(last, at) if rule.to_end else path.find(last, at) >= 0


def _comparable(text: str) -> str:
    """One spelling for all ways to percent-encode a path or a part of one; ``%2F`` stays other than ``/``."""
    kept = _KEPT_ESCAPE.sub(lambda escape: "%25" + escape[1].upper(), text)
    return quote(unquote_to_bytes(kept.encode("utf-8", "surrogatepass")), safe="/%")


TDMREP = PolicyFile("tdmrep.json", "/.well-known/tdmrep.json", _read, failure_forbids=False)
