"""What the pool and its children say to one another over a socket pair: lengths, JSON, raw bytes.

A child has touched strangers' bytes, so nothing that it sends is executed: no pickle.

Request: body length, body. Answer: lengths of facts and body, facts as JSON, body.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

__all__ = ["BUFFER_BYTES", "READY", "receive_answer", "receive_request", "send_answer", "send_request"]

READY = b"R"
"""Sent once by a child that has loaded its codecs."""

BUFFER_BYTES = 1 << 20
"""Wanted size of the socket's buffers; the kernel may give less."""

_ANSWER_BYTES = 1 << 16  # more than most answers have, so that one call brings all of it

_REQUEST = struct.Struct("<Q")
_ANSWER = struct.Struct("<II")


def send_request(sock: socket.socket, body: bytes) -> None:
    """Send one image to a child."""
    _send(sock, _REQUEST.pack(len(body)), body)


def receive_request(sock: socket.socket) -> bytearray | None:
    """Wait for the next image; None when the parent has gone."""
    try:
        (size_bytes,) = _REQUEST.unpack(receive(sock, _REQUEST.size))
        return receive(sock, size_bytes)
    except EOFError:
        return None


def send_answer(sock: socket.socket, facts: dict[str, Any], body: bytes) -> None:
    """Send what became of an image."""
    said = json.dumps(facts).encode()
    _send(sock, _ANSWER.pack(len(said), len(body)) + said, body)


def receive_answer(sock: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Wait for a child's answer.

    Raises:
        EOFError: The child has ended.
        TimeoutError: The socket's time-out has passed.
        ValueError: The facts are not JSON.
    """
    data = sock.recv(_ANSWER_BYTES)
    if not data:
        raise EOFError
    data += receive(sock, max(0, _ANSWER.size - len(data)))
    facts_bytes, body_bytes = _ANSWER.unpack_from(data)
    body_at = _ANSWER.size + facts_bytes
    data += receive(sock, max(0, body_at + body_bytes - len(data)))
    return json.loads(data[_ANSWER.size : body_at]), data[body_at:]


def receive(sock: socket.socket, size_bytes: int) -> bytearray:
    """Exactly ``size_bytes`` bytes.

    Raises:
        EOFError: The other end has closed before.
    """
    data = bytearray(size_bytes)
    rest = memoryview(data)
    while rest:
        got_bytes = sock.recv_into(rest)
        if not got_bytes:
            raise EOFError
        rest = rest[got_bytes:]
    return data


def _send(sock: socket.socket, lead: bytes, body: bytes) -> None:
    sent_bytes = sock.sendmsg((lead, body))
    if sent_bytes < len(lead):
        sock.sendall(lead[sent_bytes:])
        sent_bytes = len(lead)
    if sent_bytes - len(lead) < len(body):
        sock.sendall(memoryview(body)[sent_bytes - len(lead) :])
