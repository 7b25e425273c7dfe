"""What came of asking for one URL."""

from __future__ import annotations

from dataclasses import dataclass

from gristmill.spec.body import Body
from gristmill.spec.reasons import Reason

__all__ = ["Answer", "clean"]

MAX_DETAIL_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The one outcome of one URL: a body, or a reason why there is none.

    ``ok`` answers have a non-empty ``body`` and no ``reason``; the others have a ``reason`` and no
    ``body``. Nothing here was decoded: whether the bytes are an image is for others to say.
    """

    url: str
    """As asked for, without a user name or password."""
    final_url: str
    """Where the last request went, normalised; the same as ``url`` where none was made."""
    reason: Reason | None
    detail: str = ""
    """In words, at most 200 characters, control characters escaped; may quote the server."""
    status: int | None = None
    """HTTP status of the last answer that had one."""
    body: Body | None = None
    content_type: str | None = None
    """As the server says; not to be trusted."""
    tries: int = 0
    elapsed_s: float = 0.0
    """From the first request's start to the end of the last, back-off included."""
    via: str | None = None
    """The mirror that the body came from, where it is not from the URL's own host."""
    opt_out: str | None = None
    """Opt-outs seen that are meant for us, in headers and in the files asked for, whether obeyed or not."""
    retry_after_s: float | None = None
    """What the server asked for last, if it did."""
    bytes_received: int = 0
    """Body bytes that came over the wire, of all tries."""

    @property
    def ok(self) -> bool:
        """Say whether there is a body."""
        return self.reason is None


def clean(text: str, limit: int = MAX_DETAIL_CHARS) -> str:
    """Text from outside made fit for a table and a terminal: control characters escaped, cut to ``limit``."""
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text
        )
    return text if len(text) <= limit else text[: limit - 1] + "…"
