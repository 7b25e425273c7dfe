"""A codec process: images in, answers out, one at a time, until its parent goes.

Started by ``gristmill.media.pool`` as ``python -P -m gristmill.media.worker SETTINGS``, with one end of a
socket pair as standard input. It loads the codecs and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from gristmill.media import wire
from gristmill.media.errors import Undecodable
from gristmill.media.image import Transcoded, transcode
from gristmill.media.settings import ImageSettings
from gristmill.spec.reasons import Reason

__all__ = ["main", "serve"]

Codec = Callable[[bytes, ImageSettings], Transcoded]

RECYCLE_RSS_BYTES = 250 << 20
"""A child whose memory has ever reached this leaves after its answer; another takes its place."""

# Decoding through Pillow holds up to five copies of four bytes a pixel at once.
_BYTES_PER_PIXEL = 24


def main(arguments: list[str] | None = None, codec: Codec = transcode) -> None:
    """Serve until the parent closes its end. ``codec`` is replaced in tests."""
    settings_json, deadline_s = arguments or sys.argv[1:]
    settings = ImageSettings(**json.loads(settings_json))
    _limit(settings)
    with socket.socket(fileno=os.dup(0)) as sock:
        sock.sendall(wire.READY)
        # From here on only decoders could write to it, and they quote strangers.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        gc.freeze()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            serve(sock, settings, codec, float(deadline_s))
    os._exit(0)  # skips the interpreter's tidying-up, which nobody waits for


def serve(sock: socket.socket, settings: ImageSettings, codec: Codec, deadline_s: float) -> None:
    """Answer requests until the other end closes, or until this process has grown too large."""
    leave = False
    while not leave and (body := wire.receive_request(sock)) is not None:
        # The parent's deadline kills a child that hangs; this one does if the parent is gone.
        signal.setitimer(signal.ITIMER_REAL, deadline_s + 1)
        facts, stored = _answer(bytes(body), settings, codec)
        signal.setitimer(signal.ITIMER_REAL, 0)
        leave = facts["leave"] = _peak_rss_bytes() > RECYCLE_RSS_BYTES
        wire.send_answer(sock, facts, stored)


def _answer(body: bytes, settings: ImageSettings, codec: Codec) -> tuple[dict[str, Any], bytes]:
    try:
        made = codec(body, settings)
    except Undecodable as err:
        return {"reason": str(err.reason), "detail": err.detail}, b""
    except MemoryError:
        return {"reason": str(Reason.UNDECODABLE), "detail": "needs too much memory"}, b""
    facts = {
        field.name: getattr(made, field.name) for field in dataclasses.fields(made) if field.name != "body"
    }
    return facts, made.body


def _limit(settings: ImageSettings) -> None:
    """Bound memory, leave no core dumps, and leave the terminal's signals to the parent."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            now_bytes = int(file.read().split()[0]) * resource.getpagesize()
        most_bytes = now_bytes + max(512 << 20, settings.max_pixels * _BYTES_PER_PIXEL)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            most_bytes = min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))


def _peak_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
