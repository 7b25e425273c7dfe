"""An answer's head as browsers read it: what means nothing is mended, what could mean two things is refused.

Servers write heads by hand: blanks before the colon, names with brackets, lines without a colon, stray carriage
returns. Whole pictures are lost where that counts as an error. What may not be guessed is how long the body is
(RFC 9112, sections 5 and 6.3): where two readers could see two lengths, one answer can be smuggled in another.
"""

from __future__ import annotations

import re

__all__ = ["HEAD_END", "Smuggling", "mended"]

HEAD_END = re.compile(rb"\n\r*\n")

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PROPER = re.compile(rb"[^\r\n]*\r\n(?:" + _TOKEN + rb":[^\r\n]*\r\n)*\r\n")
_FRAMING = re.compile(rb"content-length|transfer-encoding", re.IGNORECASE)
_USUAL_LENGTH = re.compile(rb"\ncontent-length: [0-9]+\r\n")
_USUAL_CODING = b"\ntransfer-encoding: chunked\r\n"
_NAME = re.compile(_TOKEN)
_ENDS = re.compile(rb"\r*\n")
_BLANK = b" \t"


class Smuggling(Exception):
    """The head leaves open where the body ends. The text says why."""


def mended(head: bytes) -> bytes:
    """The head as a strict parser takes it.

    Args:
        head: From the status line to the empty line, both included.

    Raises:
        Smuggling: It says two lengths, or says one in a line that readers do not agree on.
    """
    if _is_usual(head.lower()) and _PROPER.fullmatch(head):
        return head
    status, *lines = _ENDS.split(head.rstrip(b"\r\n"))
    kept: list[bytes] = []
    lengths: set[bytes] = set()
    codings: list[bytes] = []
    before = b""
    for line in lines:
        name, colon, value = line.partition(b":")
        name, value = name.strip(_BLANK), value.strip(_BLANK)
        folded = line[:1] in (b" ", b"\t")
        if (folded and _FRAMING.match(before)) or (
            (folded or not colon or b"\r" in line) and _FRAMING.search(line)
        ):
            raise Smuggling("a length in a malformed header line")
        before = line
        if name.lower() == b"content-length":
            lengths.update(part.strip(_BLANK) for part in value.split(b","))
        elif name.lower() == b"transfer-encoding":
            codings += [part.strip(_BLANK).lower() for part in value.split(b",")]
        elif folded and kept:  # as old servers do
            kept[-1] += b" " + line.strip(_BLANK).replace(b"\r", b" ")
        elif colon and _NAME.fullmatch(name):
            kept.append(name + b": " + value.replace(b"\r", b" "))
    codings = [coding for coding in codings if coding != b"identity"]
    if len(lengths) > 1:
        raise Smuggling("two unlike lengths")
    if lengths and codings:
        raise Smuggling("both Transfer-Encoding and Content-Length")
    kept += [b"Content-Length: " + length for length in lengths]
    if codings:
        kept.append(b"Transfer-Encoding: " + b", ".join(codings))
    return b"\r\n".join((status, *kept, b"", b""))


def _is_usual(head: bytes) -> bool:
    """Whether a head, in lower case, says the body's length not at all, or once and as nearly all do."""
    named = head.count(b"content-length") + head.count(b"transfer-encoding")
    return named == 0 or (named == 1 and (_USUAL_CODING in head or _USUAL_LENGTH.search(head) is not None))
