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
"""A child that holds more than this after its answer leaves; another takes its place."""

# Decoding through Pillow holds up to five copies of four bytes a pixel at once.
_BYTES_PER_PIXEL = 24

_PAGE_BYTES = resource.getpagesize()


def main(arguments: list[str] | None = None, codec: Codec = transcode) -> None:
    """Serve until the parent closes its end. ``codec`` is replaced in tests."""
    settings_json, deadline_s = arguments or sys.argv[1:]
    settings = ImageSettings(**json.loads(settings_json))
    _limit(settings)
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as sock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(wire.READY)
        # From here on only decoders could write to standard error, and they quote strangers.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
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
        leave = facts["leave"] = _rss_bytes() > RECYCLE_RSS_BYTES
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
        most_bytes = _statm_bytes(0) + max(512 << 20, settings.max_pixels * _BYTES_PER_PIXEL)
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            most_bytes = min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, hard))


def _rss_bytes() -> int:
    if sys.platform == "linux":
        # Not ru_maxrss: on Linux that begins at what the parent had when it started this process.
        return _statm_bytes(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _statm_bytes(field: int) -> int:
    """Memory of this process: 0 is its address space, 1 what is resident (Linux, proc(5))."""
    with open("/proc/self/statm", "rb", buffering=0) as file:
        return int(file.read().split()[field]) * _PAGE_BYTES


if __name__ == "__main__":
    main()
