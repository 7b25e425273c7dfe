"""What the pool and its children say to one another over a socket pair: lengths, JSON, raw bytes.

A child has touched strangers' bytes, so nothing that it sends is executed: no pickle.

Request: body length, body. Answer: lengths of facts and body, facts as JSON, body.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Literal

import orjson

__all__ = ["BUFFER_BYTES", "READY", "answer_in", "lead_of", "ready_in", "receive_request", "send_answer"]

READY = b"R"
"""Sent once by a child that has loaded its codecs."""

BUFFER_BYTES = 1 << 20
"""Wanted size of the socket's buffers; the kernel may give less."""

_REQUEST = struct.Struct("<Q")
_ANSWER = struct.Struct("<II")


def lead_of(body: bytes) -> bytes:
    """Say what goes before an image."""
    return _REQUEST.pack(len(body))


def receive_request(sock: socket.socket) -> bytes | None:
    """Wait for the next image; None when the parent has gone."""
    try:
        (size_bytes,) = _REQUEST.unpack(_receive(sock, _REQUEST.size))
        return _receive(sock, size_bytes)
    except EOFError:
        return None


def send_answer(sock: socket.socket, facts: dict[str, Any], body: bytes) -> None:
    """Send what became of an image."""
    said = orjson.dumps(facts)
    _send(sock, _ANSWER.pack(len(said), len(body)) + said, body)


def ready_in(data: bytearray) -> Literal[True] | None:
    """Say whether a child has said that it is ready; None before it has said anything.

    Raises:
        ValueError: It says something else.
    """
    if not data:
        return None
    if data != READY:
        raise ValueError("not a codec process")
    data.clear()
    return True


def answer_in(data: bytearray) -> tuple[dict[str, Any], bytes] | None:
    """Take a child's answer, facts and stored bytes, out of what came; None before all of it is there.

    Raises:
        ValueError: The facts are not JSON.
    """
    if len(data) < _ANSWER.size:
        return None
    facts_bytes, body_bytes = _ANSWER.unpack_from(data)
    body_at = _ANSWER.size + facts_bytes
    if len(data) < body_at + body_bytes:
        return None
    with memoryview(data) as view:
        facts, body = orjson.loads(view[_ANSWER.size : body_at]), bytes(view[body_at : body_at + body_bytes])
    del data[: body_at + body_bytes]
    return facts, body


def _receive(sock: socket.socket, size_bytes: int) -> bytes:
    """Exactly ``size_bytes`` bytes.

    Raises:
        EOFError: The other end has closed before.
    """
    data = sock.recv(size_bytes, socket.MSG_WAITALL)
    while len(data) < size_bytes:  # a signal came between
        more = sock.recv(size_bytes - len(data), socket.MSG_WAITALL)
        if not more:
            raise EOFError
        data += more
    return data


def _send(sock: socket.socket, lead: bytes, body: bytes) -> None:
    sent_bytes = sock.sendmsg((lead, body))
    if sent_bytes < len(lead):
        sock.sendall(lead[sent_bytes:])
        sent_bytes = len(lead)
    if sent_bytes - len(lead) < len(body):
        sock.sendall(memoryview(body)[sent_bytes - len(lead) :])
