"""When to ask again, and how long to wait first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from gristmill.spec.reasons import TRANSIENT, Reason

__all__ = ["RETRIED_STATUSES", "WORTH_ANOTHER_TRY", "backoff_s", "retry_after_s", "time_of"]

# Failed lookups are tried again by the resolver, once for all URLs of a host.
WORTH_ANOTHER_TRY = TRANSIENT - {Reason.DNS_FAILED} | {Reason.INTERNAL_ERROR}

RETRIED_STATUSES = frozenset({408, 425})
"""Statuses beside those reasons that are worth it: the server did not get to the request."""


def backoff_s(base_s: float, tries_done: int, random: Callable[[], float]) -> float:
    """Exponential back-off: ``base_s`` after the first try, doubled after each, times 0.5 to 1.5."""
    return float(base_s * 2 ** min(tries_done - 1, 16) * (0.5 + random()))


def retry_after_s(header: str | None, now_s: float) -> float | None:
    """Seconds that a ``Retry-After`` header (RFC 9110, section 10.2.3) asks for.

    Args:
        header: Seconds, or an HTTP date, or whatever a server sends.
        now_s: Time of day at the server, seconds since 1970.

    Returns:
        At least 0; None for no header or one that says nothing.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now_s)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def time_of(date: str | None, otherwise_s: float) -> float:
    """The time of day, seconds since 1970, by a server's ``Date`` header; ``otherwise_s`` if it says none.

    A date in ``Retry-After`` is meant by the server's clock. Ours may be an hour off, or jump.
    """
    if date is not None:
        try:
            parsed = parsedate_to_datetime(date.strip())
            return parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp()
        except (ValueError, OverflowError, TypeError, IndexError):
            pass
    return otherwise_s
