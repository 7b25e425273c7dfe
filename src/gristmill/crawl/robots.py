"""robots.txt, as RFC 9309 has it, and Spawning's ai.txt, which is written like it and means training."""

from __future__ import annotations

import math
import re

from protego import Protego

from gristmill.crawl.guard import Target
from gristmill.crawl.policy import PolicyFile, Ruling
from gristmill.crawl.settings import AGENT
from gristmill.crawl.usage import UsageLine, usage_lines, usage_of
from gristmill.spec.reasons import Reason

__all__ = ["AI_TXT", "ROBOTS"]

_MAY = Ruling()
_FILE_TYPE = re.compile(
    r"^([ \t]*(?:dis)?allow[ \t]*:[ \t]*\*)(\.[a-z0-9]{1,10})[ \t\r]*$", re.IGNORECASE | re.MULTILINE
)


class _Robots:
    """Rules for user agents, the longest match first."""

    def __init__(self, text: str, disallowed: Ruling, usage: tuple[UsageLine, ...] = ()) -> None:
        self._usage = usage
        self._parser = Protego.parse(text)
        self._disallowed = disallowed
        delay_s = self._parser.crawl_delay(AGENT)
        self._delay_s = max(0.0, delay_s) if delay_s is not None and math.isfinite(delay_s) else 0.0

    @property
    def delay_s(self) -> float:
        return self._delay_s

    def ruling(self, target: Target) -> Ruling:
        if not self._parser.can_fetch(target.text, AGENT):
            return self._disallowed
        if not (reserved := usage_of(self._usage, target.path)):
            return _MAY
        words = ", ".join(reserved)
        return Ruling(Reason.OPTED_OUT, f"robots.txt reserves it: {words}", f"robots.txt: {words}")


def _robots(body: bytes) -> _Robots:
    text = _text(body)
    return _Robots(text, Ruling(Reason.ROBOTS, "disallowed by robots.txt"), usage_lines(text, AGENT))


def _ai_txt(body: bytes) -> _Robots:
    """Patterns such as ``*.jpg`` mean a type of file, so that ``*.JPG`` is meant, too."""
    text = _FILE_TYPE.sub(lambda m: f"{m[1]}{m[2].lower()}\n{m[1]}{m[2].upper()}", _text(body))
    return _Robots(text, Ruling(Reason.OPTED_OUT, "disallowed by ai.txt", "ai.txt: disallow"))


def _text(body: bytes) -> str:
    return body.decode("utf-8-sig", "replace")


ROBOTS = PolicyFile("robots.txt", "/robots.txt", _robots, failure_forbids=True)
AI_TXT = PolicyFile("ai.txt", "/ai.txt", _ai_txt, failure_forbids=False)
