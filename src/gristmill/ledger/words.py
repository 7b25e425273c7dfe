"""Numbers as people read them: on the terminal, in the card and in the report alike."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["count_text", "duration_text", "share_text", "short_count", "size_text", "store_text"]

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def count_text(number: int, noun: str) -> str:
    """A number of things: ``1 task``, ``2,000 tasks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short_count(number: int) -> str:
    """A number in six signs at most: ``7,473``, ``12.7 k``, ``747 M``."""
    if number < 10_000:
        return f"{number:,}"
    value, unit = (number / 1e3, "k") if number < 999_500 else (number / 1e6, "M")
    return f"{value:.{1 if value < 99.95 else 0}f} {unit}"


def size_text(size_bytes: float) -> str:
    """A size with three digits and a decimal unit: ``1.53 GB``."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    value = size_bytes / 1000
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:,.{digits}f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def store_text(asked: Mapping[str, int]) -> str:
    """Say what tasks asked of an object store: ``12 requests by tasks (get 4, put 8), 1.53 GB put, 20 kB read``.

    Args:
        asked: Requests by kind, and ``bytes_out`` and ``bytes_in``; as ``Totals.in_store`` has them.
    """
    kinds = {kind: number for kind, number in asked.items() if not kind.startswith("bytes_")}
    by_kind = ", ".join(f"{kind} {number:,}" for kind, number in kinds.items())
    return (
        f"{count_text(sum(kinds.values()), 'request')} by tasks ({by_kind}), "
        f"{size_text(asked.get('bytes_out', 0))} put, {size_text(asked.get('bytes_in', 0))} read"
    )


def share_text(part: float, whole: float) -> str:
    """A share in percent; never rounded to nothing or to all when it is not."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "<0.1 %"
    if 99.9 < share < 100:
        return ">99.9 %"
    return f"{share:.1f} %" if share % 100 else f"{share:.0f} %"


def duration_text(seconds: float) -> str:
    """A duration in its two largest units: ``3 h 12 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest_s} s"
