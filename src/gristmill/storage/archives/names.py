"""Names of members. They are data, never paths: none is ever given to the system, but below a folder's root."""

from __future__ import annotations

import re

from gristmill.storage.archives.entries import Refusal

__all__ = ["MAX_NAME_BYTES", "member_name"]

MAX_NAME_BYTES = 32 << 10

_ODD = re.compile(rb"(?:^|/)\.{0,2}(?:/|$)|[\\\0:]|[^\x00-\x7f]")
"""An empty, ``.`` or ``..`` component, a backslash, NUL, colon, or anything but ASCII."""


def member_name(
    raw: bytes, *, fallback: str = "latin-1", backslashes: bool = False
) -> tuple[str, Refusal | None]:
    """A member's name as text, in the one form that names are compared in, and why it is refused.

    Args:
        raw: As it stands in the archive.
        fallback: Encoding of bytes that are not UTF-8.
        backslashes: Whether a name without any slash may be one of Windows.
    """
    if len(raw) > MAX_NAME_BYTES:
        return raw[:200].decode(fallback), Refusal.LONG_NAME
    if not _ODD.search(raw):
        return (raw.decode("ascii"), None) if raw else ("", Refusal.NO_NAME)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = raw.decode(fallback)
    if "\0" in name:
        return name, Refusal.NUL
    if backslashes and "/" not in name:
        name = name.replace("\\", "/")
    if name.startswith("/") or name.startswith("\\"):
        return name, Refusal.ABSOLUTE
    if name[1:2] == ":" and name[0].isascii() and name[0].isalpha():
        return name, Refusal.DRIVE
    if ".." in name.replace("\\", "/").split("/"):
        return name, Refusal.PARENT
    name = "/".join(part for part in name.split("/") if part not in {"", "."})
    return name, None if name else Refusal.NO_NAME
