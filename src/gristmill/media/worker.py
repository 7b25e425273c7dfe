"""A codec process: images in, answers out, one at a time, until its parent goes.

Started by ``gristmill.media.pool`` with the settings as arguments and one end of a socket pair as standard
input. It loads the codecs and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import orjson

from gristmill.media import limits, wire
from gristmill.media.errors import Undecodable
from gristmill.media.image import Transcoded, transcode
from gristmill.media.settings import ImageSettings
from gristmill.spec.reasons import Reason

__all__ = ["main", "serve"]

Codec = Callable[[bytes, ImageSettings], Transcoded]

RECYCLE_RSS_BYTES = 250 << 20
"""A child that holds more than this after its answer leaves; another takes its place."""

TRIM_RSS_BYTES = 120 << 20
"""A child that holds more than this gives freed memory back to the system: the next picture is rarely as large."""

_FACTS = tuple(field.name for field in dataclasses.fields(Transcoded) if field.name != "body")

CPU_S = 10.0
"""Processor time that a picture may use. The slowest of 50 million pixels take about 5 s."""


def main(arguments: list[str] | None = None, codec: Codec = transcode) -> None:
    """Serve until the parent closes its end. ``codec`` is replaced in tests."""
    settings_json, deadline_s = arguments or sys.argv[1:]
    settings = ImageSettings(**orjson.loads(settings_json))
    limits.enclose()
    gc.freeze()
    gc.enable()
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
        limits.begin_body(len(body), wall_s=deadline_s + 1, cpu_s=CPU_S)
        facts, stored = _answer(body, settings, codec)
        resident_bytes = limits.end_body()
        leave = facts["leave"] = resident_bytes > RECYCLE_RSS_BYTES
        wire.send_answer(sock, facts, stored)
        if resident_bytes > TRIM_RSS_BYTES:
            limits.give_back()


def _answer(body: bytes, settings: ImageSettings, codec: Codec) -> tuple[dict[str, Any], bytes]:
    try:
        made = codec(body, settings)
    except Undecodable as err:
        return {"reason": str(err.reason), "detail": err.detail}, b""
    except MemoryError:
        return {"reason": str(Reason.UNDECODABLE), "detail": "needs too much memory"}, b""
    return {name: getattr(made, name) for name in _FACTS}, made.body


if __name__ == "__main__":
    main()
