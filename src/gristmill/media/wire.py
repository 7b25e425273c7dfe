"""What the pool and its children say to one another over a socket pair: lengths, JSON, raw bytes.

A child has touched strangers' bytes, so nothing that it sends is executed: no pickle.

Request: body length, whether the body lies in shared memory, and if not, the body. Answer: lengths of facts and body,
facts as JSON, body.

An image of usual size goes through memory that both processes see, written by the pool alone: the kernel's socket
buffers hold some 200 kB, so that a larger one would take several turns from process to process.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
from typing import Any

__all__ = [
    "BUFFER_BYTES",
    "READY",
    "SHARED_BYTES",
    "mapped",
    "new_shared",
    "receive_answer",
    "receive_request",
    "send_answer",
    "send_request",
]

READY = b"R"
"""Sent once by a child that has loaded its codecs."""

BUFFER_BYTES = 1 << 20
"""Wanted size of the socket's buffers; the kernel may give less."""

SHARED_BYTES = 1 << 20
"""Size of the shared memory. What is larger goes through the socket."""

_ANSWER_BYTES = 1 << 16  # more than most answers have, so that one call brings all of it

_REQUEST = struct.Struct("<Q?")
_ANSWER = struct.Struct("<II")


def new_shared() -> int | None:
    """A descriptor of new shared memory, which ends with its last user; None where the system has none (not Linux).

    Raises:
        OSError: Too many open files.
    """
    if not hasattr(os, "memfd_create"):
        return None
    shared = os.memfd_create("gristmill-image", os.MFD_CLOEXEC)
    os.ftruncate(shared, SHARED_BYTES)
    return shared


def mapped(shared: int, *, writable: bool = False) -> mmap.mmap:
    """Shared memory as its reader or writer sees it; the descriptor may be closed then."""
    return mmap.mmap(shared, SHARED_BYTES, prot=mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0))


def send_request(sock: socket.socket, body: bytes, shared: mmap.mmap | None) -> None:
    """Send one image to a child."""
    if shared is not None and len(body) <= SHARED_BYTES:
        shared[: len(body)] = body
        sock.sendall(_REQUEST.pack(len(body), True))
    else:
        _send(sock, _REQUEST.pack(len(body), False), body)


def receive_request(sock: socket.socket, shared: mmap.mmap | None) -> bytes | None:
    """Wait for the next image; None when the parent has gone."""
    try:
        size_bytes, is_shared = _REQUEST.unpack(receive(sock, _REQUEST.size))
        return shared[:size_bytes] if shared is not None and is_shared else bytes(receive(sock, size_bytes))
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
