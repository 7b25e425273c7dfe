"""A proxy on loopback before a server that plays S3: it hands requests on, and plays faults."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = tuple[str, int, str]
"""``before`` or ``after`` it is done; a status, 0 for a connection that is reset; a code of S3's."""


class StoreProxy:
    """Options of a store that is asked through a proxy, and what the proxy does.

    Attributes:
        options: For an :class:`gristmill.storage.object.ObjectStore`.
        faults: Asked at each request, with method and path; None hands it on.
        asked: Method and path of each request so far.
    """

    def __init__(self, options: dict[str, str]) -> None:
        self._behind = urlsplit(options["endpoint"]).netloc
        self.faults: Callable[[str, str], Fault | None] = lambda method, path: None
        self.asked: list[tuple[str, str]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy, self._server.behind = self, self._behind
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.options = {**options, "endpoint": f"http://127.0.0.1:{self._server.server_port}"}

    def once(self, fault: Fault, wanted: Callable[[str, str], bool] = lambda method, path: True) -> None:
        """Play a fault at the next request that is wanted, and no more."""
        left = [fault]
        self.asked.clear()
        self.faults = lambda method, path: left.pop() if left and wanted(method, path) else None

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: StoreProxy
    behind: str

    def handle_error(self, request, client_address) -> None:
        """A client that went away is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.proxy.asked.append((self.command, self.path))
        fault = self.server.proxy.faults(self.command, self.path)
        if fault is not None and fault[0] == "before":
            self.fail(*fault[1:])
            return
        behind = HTTPConnection(self.server.behind, timeout=30)
        try:
            behind.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = behind.getresponse()
            content = answer.read()
        finally:
            behind.close()
        if fault is not None:
            self.fail(*fault[1:])
        else:
            self.answer(answer.status, content, answer.getheaders())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def fail(self, status: int, code: str) -> None:
        if not status:
            self.reset()
            return
        said = f"<Error><Code>{code}</Code><Message>This was played.</Message></Error>".encode()
        self.answer(status, said, [("Content-Length", str(len(said)))])

    def answer(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """It stays quiet."""
