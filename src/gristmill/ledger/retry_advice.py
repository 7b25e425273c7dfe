"""Tells losses that may come back from those that stay: the one rule behind every advice to ``gristmill retry``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gristmill.ledger.funnel import Funnel
from gristmill.ledger.losses import LossGroup, group_of
from gristmill.spec.command import to_type
from gristmill.spec.reasons import GONE, Reason

__all__ = ["RetryAdvice", "may_heal", "retry_advice", "retry_command", "with_options"]

_NAMED = 4
_ALLOWED_BY = {
    Reason.TLS: "--no-verify-tls",
    Reason.PRIVATE_ADDRESS: "--allow-private-addresses",
    Reason.BAD_PORT: "--allow-private-addresses",
}


def may_heal(reason: str) -> bool:
    """True if a loss may come back when it is asked for again: a passing failure, or one of our own."""
    return group_of(reason) in {LossGroup.LATER, LossGroup.OURS}


def retry_command(where: str, reasons: Mapping[str, int], options: Sequence[str] = ()) -> str:
    """Say what to type to ask again for what was lost for ``reasons``, in the dataset's folder ``where``.

    Args:
        where: The folder, as it is typed.
        reasons: Losses by reason.
        options: That allow what the run was allowed: it is stored nowhere.
    """
    return to_type("retry", where, "--reason", ",".join(reasons), *options)


def with_options(where: str, reasons: Mapping[str, int]) -> list[str]:
    """A sentence for each of ``reasons`` that asking again brings back only with an option that allows it.

    The options take a guard away, and a list may be a stranger's: the sentence says for whom they are.
    """
    return [
        f"Only if these hosts are your own: {option} would allow {reason}: "
        + to_type("retry", where, "--reason", str(reason), option)
        for reason, option in _ALLOWED_BY.items()
        if reasons.get(reason)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAdvice:
    """The losses among chosen rows, told apart by whether asking again may help.

    Attributes:
        may: Losses by reason that may come back, the largest first.
        stays: The others.
    """

    may: Mapping[str, int]
    stays: Mapping[str, int]

    @property
    def gone(self) -> int:
        """Number of losses that a mirror may have."""
        return sum(self.stays.get(reason, 0) for reason in GONE)

    def sentences(self, where: str, *, mirrored: bool, options: Sequence[str] = ()) -> list[str]:
        """The advice at the end of a run that kept less than expected.

        Args:
            where: The dataset's folder, as it is typed.
            mirrored: A mirror was asked already.
            options: That allow what the run was allowed.
        """
        said = []
        if self.may:
            said.append(f"{_named(self.may)} may come back: {retry_command(where, self.may, options)}")
        if self.stays:
            rest = "Asking again does not bring back" if not self.may else "It does not bring back"
            said.append(f"{rest} {_named(self.stays)}.")
            said += with_options(where, self.stays)
        if self.gone and not mirrored:
            said.append(
                f"Gone from their hosts: {self.gone:,}. A mirror may have some, as another dataset: "
                "the command that began this with another --out and --set crawl.mirror='https://MIRROR/{url}'"
            )
        return said


def retry_advice(levels: Funnel) -> RetryAdvice:
    """Tell a dataset's losses apart."""
    lost = levels.dropped(after_selection=True)
    return RetryAdvice(
        may={reason: n for reason, n in lost.items() if may_heal(reason)},
        stays={reason: n for reason, n in lost.items() if not may_heal(reason)},
    )


def _named(lost: Mapping[str, int]) -> str:
    said = [f"{reason} {n:,}" for reason, n in list(lost.items())[:_NAMED]]
    more = sum(list(lost.values())[_NAMED:])
    return ", ".join([*said, f"{more:,} more"] if more else said)
