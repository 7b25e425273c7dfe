"""Conversations that would fail a trainer, or mislead it: mended, kept or dropped, and counted each time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, Outcome, Sample
from gristmill.spec.step import SampleStep
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, checks, found_in
from gristmill.steps.conversations.samples import conversation_in, with_conversation

__all__ = ["CheckConversations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConversations(SampleStep):
    """Look at the turns, texts, paths and places of media of each sample, as ``gristmill check`` looks at a file's.

    What is kept in spite of a finding, or mended, is named in the sample's column ``changes``
    (``first_not_user_fixed``), which is an empty list where there is nothing to name. The codes are those of
    docs/reference/checks.md but for what only a file of records has. Whether media are there, whole and of
    the size that the row says, the step that brings them sees.

    Attributes:
        keep, fix, drop: Codes with which this is done, where it is not what the check itself does.
    """

    keep: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()

    name = "check"
    revision = 1
    reads = frozenset({"turns", "media.at"})
    drops = frozenset(check.reason for check in checks().values() if not check.of_file)

    def __post_init__(self) -> None:
        if twice := {*self.keep} & {*self.fix} | {*self.keep, *self.fix} & {*self.drop}:
            raise UsageError(f"check: {', '.join(sorted(twice))}: name a code in one of keep, fix and drop.")
        _actions(self.keep, self.fix, self.drop)

    def apply(self, sample: Sample) -> Outcome:
        """See :class:`SampleStep`."""
        record = conversation_in(sample)
        words: dict[str, None] = {}
        for finding in found_in(record, _actions(self.keep, self.fix, self.drop)):
            if finding.action == DROP:
                detail = f"{finding.code}: {finding.detail}" if finding.detail else finding.code
                return Drop(reason=Reason(checks()[finding.code].reason), detail=detail)
            words[f"{finding.code}_{'fixed' if finding.action == FIX else 'kept'}"] = None
        columns = {**sample.columns, CHANGES: [*sample.columns.get(CHANGES, ()), *words]}
        if any(word.endswith("_fixed") for word in words):
            sample = with_conversation(sample, record)
        return replace(sample, columns=columns)


@lru_cache(maxsize=8)
def _actions(keep: tuple[str, ...], fix: tuple[str, ...], drop: tuple[str, ...]) -> Actions:
    return Actions(
        {code: action for codes, action in ((keep, KEEP), (fix, FIX), (drop, DROP)) for code in codes}
    )
