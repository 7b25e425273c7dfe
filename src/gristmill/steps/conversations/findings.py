"""What checks say of a record: a code, what is done about it, and what was seen; and the checks, found by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from gristmill.spec.errors import UnknownName, UsageError
from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import ConversationRecord

__all__ = [
    "DROP",
    "FIX",
    "KEEP",
    "Actions",
    "Check",
    "CheckFamily",
    "Finding",
    "checks",
    "families",
    "found_in",
]

KEEP, FIX, DROP = "keep", "fix", "drop"
_MOST_ROUNDS = 8
"""A control string taken out may leave an empty turn, whose question then goes with it: few records need a third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that may be wrong with a record.

    Attributes:
        code: Its name.
        action: What is done unless somebody says otherwise: ``keep``, ``fix`` or ``drop``.
        reason: Under which a sample is counted in a run that drops it.
        says: What is wrong, in words.
        why: What comes of it.
        mend: What ``fix`` does; empty where nothing can be done. A record that cannot be mended is dropped.
        lost: The record cannot be read, and so not be kept.
        of_file: It is about a file of records, or of the media beside it, and the step never finds it.
    """

    code: str
    action: str
    says: str
    why: str
    reason: Reason = Reason.BAD_ROW
    mend: str = ""
    lost: bool = False
    of_file: bool = False


class Finding(NamedTuple):
    """One thing that is wrong with one record.

    Attributes:
        code: Of the check.
        action: What is done about it.
        detail: What was seen.
    """

    code: str
    action: str
    detail: str


class CheckFamily(Protocol):
    """A module in ``checks``; families look at a record in the order of their ``ORDER``."""

    @property
    def ORDER(self) -> int:
        """A smaller one looks first, and later ones see what it mended."""

    @property
    def CHECKS(self) -> tuple[Check, ...]:
        """Its checks."""

    def look(self, record: ConversationRecord, actions: Actions) -> Iterable[Finding]:
        """Say what is wrong with a record; what is to be mended is mended in it."""


@lru_cache(maxsize=1)
def families() -> tuple[CheckFamily, ...]:
    """All modules of ``checks``, in their order."""
    from gristmill.steps.conversations import checks as package

    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    found: list[CheckFamily] = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return tuple(sorted(found, key=lambda family: family.ORDER))


@lru_cache(maxsize=1)
def checks() -> Mapping[str, Check]:
    """All checks by code, in the order of their families."""
    return {check.code: check for family in families() for check in family.CHECKS}


class Actions:
    """Holds what is done about each code.

    Args:
        settings: ``keep``, ``fix`` or ``drop`` by code, where it is not what the check itself says.

    Raises:
        UnknownName: A code that no check has.
        UsageError: Another word, or ``fix`` where nothing can be mended.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        known = checks()
        self._actions = {code: check.action for code, check in known.items()}
        for code, action in (settings or {}).items():
            if code not in known:
                raise UnknownName("check", code, tuple(known))
            possible = {KEEP: not known[code].lost, FIX: bool(known[code].mend), DROP: True}
            choices = [choice for choice, is_possible in possible.items() if is_possible]
            if action not in choices:
                raise UsageError(f"{code}={action}: expected {' or '.join(choices)}")
            self._actions[code] = action

    def on(self, code: str, detail: str = "", *, mendable: bool = True) -> Finding:
        """A finding, and what is done: a record that is to be mended and cannot be is dropped."""
        action = self._actions[code]
        return Finding(code, DROP if action == FIX and not mendable else action, detail[:200])


def found_in(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """All that is wrong with a record, which is mended on the way; what was mended is looked at again."""
    seen: set[Finding] = set()
    for _ in range(_MOST_ROUNDS):
        mended = False
        for family in families():
            for finding in family.look(record, actions):
                mended |= finding.action == FIX
                if finding not in seen:
                    seen.add(finding)
                    yield finding
        if not mended or any(finding.action == DROP for finding in seen):
            return
