"""``Content-Usage`` in robots.txt: what may be done with what is fetched (draft-ietf-aipref-attach).

A line of a group, beside ``Allow`` and ``Disallow``: ``Content-Usage: [PATH] PREFERENCES``. Without a path it holds
for all of the origin. As of those, the line with the longest path that matches holds; of several such, any that says
no.
"""

from __future__ import annotations

from typing import NamedTuple

from gristmill.crawl.optout import reservations
from gristmill.crawl.patterns import Pattern, comparable

__all__ = ["UsageLine", "usage_lines", "usage_of"]

_MOST_LINES = 1000


class UsageLine(NamedTuple):
    """One line; ``reserved`` is empty where it says no to nothing that we do."""

    pattern: Pattern
    reserved: tuple[str, ...]


def usage_lines(text: str, agent: str) -> tuple[UsageLine, ...]:
    """The lines of the groups for ``agent``, or, where there is none, of those for all (RFC 9309, 2.2.1)."""
    ours = agent.lower()
    of_agents: dict[str, list[UsageLine]] = {}
    group: set[str] = set()  # those of its agents that may be us
    in_rules = False
    for line in text.splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            group = (set() if in_rules else group) | ({value.lower().partition("/")[0]} & {ours, "*"})
            in_rules = False
            for name in group:
                of_agents.setdefault(name, [])
        elif key in ("allow", "disallow", "content-usage"):
            in_rules = True
            if key == "content-usage":
                for name in group:
                    of_agents[name].append(_line(value))
    lines = of_agents.get(ours, of_agents.get("*", []))
    return tuple(lines[:_MOST_LINES])


def _line(value: str) -> UsageLine:
    path, said = "/", value
    if value.startswith(("/", "*")):
        path, _, said = value.replace("\t", " ").partition(" ")
    return UsageLine(Pattern(path), reservations((), [said]))


def usage_of(lines: tuple[UsageLine, ...], path: str) -> tuple[str, ...]:
    """Say what is reserved of a path, as ``train-ai=n``."""
    if not lines:
        return ()
    path = comparable(path)
    matching = [line for line in lines if line.pattern.matches(path)]
    longest = max((line.pattern.length for line in matching), default=0)
    found = (word for line in matching if line.pattern.length == longest for word in line.reserved)
    return tuple(dict.fromkeys(found))
