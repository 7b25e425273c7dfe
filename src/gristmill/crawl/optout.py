"""What an answer's headers say about using it: ``X-Robots-Tag``, and rights reserved in two others.

Forms are those of Google's and Bing's documentation of the header, with ``noai`` and ``noimageai`` added by
usage: directives separated by commas, in any number of headers, each header or run of directives
optionally led by the name of the agent that it is meant for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["directives_for_us", "opted_out", "reservations"]

# A colon after one of these belongs to a value; after any other word it ends an agent's name.
_WITH_VALUE = frozenset(
    {"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after", "unavailable-after"}
)
# Words that servers put where an agent's name goes, and that name no agent in particular.
_FOR_ALL = frozenset({"*", "all", "any", "bot", "bots", "robot", "robots", "crawler", "crawlers"})


def directives_for_us(headers: Iterable[str], agent_names: frozenset[str]) -> tuple[str, ...]:
    """The directives, in lower case and without values, that are meant for all agents or for us.

    Args:
        headers: The values of all ``X-Robots-Tag`` headers of one answer.
        agent_names: Our own names, lower case.
    """
    found: dict[str, None] = {}
    for header in headers:
        meant_for_us = True
        for part in header.replace(";", ",").split(","):
            words = part.strip().lower()
            name, _, rest = words.partition(":")
            name = name.strip()
            if rest.strip() and name not in _WITH_VALUE and _is_agent(name):
                meant_for_us = name in _FOR_ALL or name.partition("/")[0] in agent_names
                words = rest.strip()
                name = words.partition(":")[0].strip()
            if name and meant_for_us:
                found[name] = None
    return tuple(found)


def reservations(tdm: Iterable[str], usage: Iterable[str]) -> tuple[str, ...]:
    """Rights reserved in other headers, as ``tdm-reservation=1`` and ``train-ai=n``.

    Args:
        tdm: The values of ``TDM-Reservation`` (W3C TDM Reservation Protocol): 1 reserves.
        usage: The values of ``Content-Usage`` (IETF AIPREF drafts): a dictionary, of which ``train-ai=n``, its
            narrower ``train-genai=n`` and its broader ``ai=n`` say no to training.
    """
    found: dict[str, None] = {}
    if any(value.strip() == "1" for value in tdm):
        found["tdm-reservation=1"] = None
    for value in usage:
        for part in value.lower().split(","):
            name, _, said = part.partition(";")[0].partition("=")
            if name.strip() in {"train-ai", "train-genai", "ai", "bots"} and said.strip() == "n":
                found[f"{name.strip()}=n"] = None
    return tuple(found)


def _is_agent(name: str) -> bool:
    """Whether the word before a colon can be an agent's name; dates such as ``25 jun 2027 15:00`` are not."""
    return bool(name) and not any(c.isspace() for c in name) and not name.isdigit()


def opted_out(directives: Sequence[str], refused: Sequence[str]) -> bool:
    """Say whether one of the directives asks us to leave the picture alone."""
    return any(directive in refused for directive in directives)
