"""A single file by its URL: resumed, checked, refused."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gristmill.spec.errors import AccessError, SourceError, UsageError
from gristmill.storage.url import fetch, name_of

BODY = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Plays one fault a path; remembers the ranges that were asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.failed: set[str] = set()
        self.over = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        first = self.path not in self.server.failed
        self.server.failed.add(self.path)
        if self.path.startswith("/status/"):
            self._send(int(self.path.rpartition("/")[2]), b"no")
        elif self.path.startswith("/redirect/"):
            self.send_response(302)
            self.send_header(
                "Location", "/plain/a.jsonl" if self.path.endswith("good") else "file:///etc/passwd"
            )
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/drips/"):
            self._drip(b"HTTP/1.1 200 OK\r\nX: " if "head" in self.path else b"HTTP/1.1 200 OK\r\n\r\n")
        elif self.path.startswith("/heals/") and first:
            self._send(503, b"later")
        else:
            ranged = wanted is not None and not self.path.startswith("/no-ranges/")
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if ranged and wanted else 0
            if start >= len(BODY):
                self._send(416, b"")
                return
            broken = first and not self.path.startswith("/plain/")
            self.send_response(206 if ranged else 200)
            if ranged:
                self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
            self.send_header("Content-Length", str(len(BODY) - start))
            self.end_headers()
            self.wfile.write(BODY[start : start + 100_000] if broken else BODY[start:])
            self.close_connection = True

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, head: bytes) -> None:
        """A head, and a byte now and then until the other side goes."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(head)
            while not self.server.over.wait(0.002):
                self.wfile.write(b"x")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()


def get(server: Server, path: str, folder, **more):
    return fetch(
        server.url(path),
        folder / "sub" / "a.jsonl",
        **{"sha256": SHA256, "size_bytes": len(BODY), **more},
        wait=no_wait,
    )


def no_wait(seconds: float) -> None:
    assert seconds <= 8


def only_file(folder) -> None:
    assert [p.name for p in (folder / "sub").iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("path", ["/plain/a.jsonl", "/heals/a.jsonl", "/redirect/good", "/no-ranges/a.jsonl"])
def test_it_arrives_whole_and_is_not_asked_for_again(server, tmp_path, path):
    assert get(server, path, tmp_path).read_bytes() == BODY
    only_file(tmp_path)
    asked = len(server.asked)
    get(server, path, tmp_path)
    assert len(server.asked) == asked


def test_what_came_is_kept_and_the_rest_asked_for(server, tmp_path):
    assert get(server, "/breaks/a.jsonl", tmp_path).read_bytes() == BODY
    assert server.asked == [("/breaks/a.jsonl", None), ("/breaks/a.jsonl", "bytes=100000-")]


@pytest.mark.parametrize(
    ("path", "limit", "said"),
    [("/drips/head", "_HEAD_S", "no answer within"), ("/drips/body", "_LEAST_S", "more slowly than")],
)
def test_what_drips_is_given_up(server, tmp_path, monkeypatch, path, limit, said):
    monkeypatch.setattr(f"gristmill.storage.url.{limit}", 0.1)
    monkeypatch.setattr("gristmill.storage.url._TRIES", 2)
    with pytest.raises(SourceError, match=said):
        get(server, path, tmp_path, sha256=None, size_bytes=None)
    assert len(server.asked) == 2
    assert not (tmp_path / "sub" / "a.jsonl").exists()


def test_a_partial_file_of_another_call_is_gone_on_with(server, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".a.jsonl.partial").write_bytes(BODY[:5000])
    assert get(server, "/plain/a.jsonl", tmp_path).read_bytes() == BODY
    assert server.asked == [("/plain/a.jsonl", "bytes=5000-")]
    (tmp_path / "sub" / "a.jsonl").rename(tmp_path / "sub" / ".a.jsonl.partial")  # whole, and not renamed yet
    assert get(server, "/plain/a.jsonl", tmp_path).read_bytes() == BODY


def test_other_content_is_refused_and_removed(server, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".a.jsonl.partial").write_bytes(b"something else")
    with pytest.raises(SourceError, match="is not the file that is wanted") as caught:
        get(server, "/plain/a.jsonl", tmp_path)
    assert SHA256 in str(caught.value)
    assert not list((tmp_path / "sub").iterdir())
    assert get(server, "/plain/a.jsonl", tmp_path).read_bytes() == BODY


def test_no_more_is_taken_than_was_published(server, tmp_path):
    with pytest.raises(SourceError, match="is not the file that is wanted"):
        get(server, "/plain/a.jsonl", tmp_path, size_bytes=1000)


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/status/404", SourceError, "not there any more"),
        ("/status/403", AccessError, "with a browser"),
        ("/status/500", SourceError, "could not be fetched"),
        ("/redirect/bad", SourceError, "not safe to follow"),
    ],
)
def test_refusals_are_sentences(server, tmp_path, path, error, words):
    with pytest.raises(error, match=words):
        get(server, path, tmp_path)
    assert len(server.asked) == (4 if path == "/status/500" else 1)


def test_nobody_there(tmp_path):
    with pytest.raises(SourceError, match="could not be fetched"):
        fetch("http://127.0.0.1:9/a.jsonl", tmp_path / "a.jsonl", sha256=SHA256, wait=no_wait)


def test_an_address_names_its_file():
    assert name_of("https://example.org/data/a.jsonl?raw=1") == "a.jsonl"
    with pytest.raises(UsageError):
        name_of("https://example.org/")
