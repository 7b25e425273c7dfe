"""Names of members. They are data, never paths: none is ever given to the system, but below a folder's root."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from gristmill.storage.archives.entries import Refusal

__all__ = ["MAX_NAME_BYTES", "ODD", "folded", "member_name", "stem_of"]

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


ODD = r"[%#]|[^\x00-\x7f]"
"""What a name has of which more than lower case may be needed to compare it."""

_ESCAPED = re.compile(r"#(?:U([0-9A-Fa-f]{4})|L([0-9A-Fa-f]{6}))")
"""As Info-ZIP's unzip writes a character that a file system may not have."""
_LOWERED = re.compile("[\u00e2-\u00fe](?=[\u0080-\u00bf](?![\u0080-\u00bf]))")
"""The first byte of two in UTF-8, read as latin-1 and then put into lower case."""
_CONTROLS = re.compile("[\u0080-\u009f]")
_AS_LATIN = {
    ord(char.lower()): chr(code).lower()
    for code, char in reversed(list(enumerate(bytes(range(0xC0, 0xFF)).decode("cp437"), 0xC0)))
    if not char.isalpha() or ord(char) > 0xFF
}
"""What letters of latin-1 become where they are read as cp437, lines, signs and Greek letters, to the letters."""


def folded(name: str) -> str:
    """A name as it is searched by: the same for names that differ by how they were written down, not what they are.

    That is by case, Unicode form, percent-encoding, the escapes of unzip (``#U00f6``), and by a table of characters
    that was not the name's own: UTF-8 read as latin-1, cp1252 or cp437, and latin-1 and cp437 for each other.
    """
    if re.search(ODD, name):
        name = _ESCAPED.sub(lambda found: chr(min(int(found[1] or found[2], 16), 0x10FFFF)), name)
        name = _unquoted(name)
        for _ in range(2):  # some were read wrongly twice
            name = _read_as_utf8(name)
        if _CONTROLS.search(name):
            name = _recoded(name, "latin-1", "cp437") or name
        name = unicodedata.normalize("NFC", name).lower().translate(_AS_LATIN)
    return name.lower().encode("utf-8", "replace").decode()


def stem_of(name: str) -> str:
    """A name without its extension."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)


def _unquoted(name: str) -> str:
    if "%" not in name:
        return name
    try:
        return unquote_to_bytes(name).decode("utf-8")
    except UnicodeError:
        return name


def _read_as_utf8(name: str) -> str:
    if name.isascii():
        return name
    for told in (name, _LOWERED.sub(lambda found: chr(ord(found[0]) - 0x20), name)):
        for table in ("latin-1", "cp1252", "cp437"):
            if (meant := _recoded(told, table, "utf-8")) is not None:
                return meant
    return name


def _recoded(name: str, was: str, meant: str) -> str | None:
    """Text whose bytes by one table are read by another; None if they are not of it."""
    try:
        return name.encode(was).decode(meant)
    except UnicodeError:
        return None
