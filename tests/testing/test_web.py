"""The made-up web, byte by byte: each fault does on the wire what its name says."""

from __future__ import annotations

import gzip
import http.client
import io
import socket
import ssl
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime

import pytest
import simplejpeg
import trustme
from PIL import Image

from gristmill.spec.reasons import Reason
from gristmill.testing.faults import FAULTS
from gristmill.testing.web import FakeWeb, picture_number

PATIENCE_S = 0.3


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeWeb]:
    with FakeWeb(drip_interval_s=0.01) as web:
        yield web


@pytest.fixture
def web(shared: FakeWeb) -> FakeWeb:
    shared.forget()
    return shared


def wire(
    web: FakeWeb, path: str, *, limit: int = 1 << 24, patience_s: float = PATIENCE_S
) -> tuple[bytes, str]:
    """All bytes of the answer, and how it ended: closed, reset, silent, or more than the limit."""
    received = bytearray()
    with socket.create_connection((web.addresses[0], web.port), timeout=5) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        sock.settimeout(patience_s)
        try:
            while data := sock.recv(1 << 16):
                received += data
                if len(received) > limit:
                    return bytes(received), "more"
        except ConnectionResetError:
            return bytes(received), "reset"
        except TimeoutError:
            return bytes(received), "silent"
    return bytes(received), "closed"


def read_to_the_end(sock: socket.socket) -> bool:
    """Whether the other side has ended the connection, in whatever way."""
    with sock:
        try:
            while sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
    return True


def answer(web: FakeWeb, path: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, lower-case header fields and body of a well-framed answer."""
    with closing(http.client.HTTPConnection(web.addresses[0], web.port, timeout=5)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as response:
            body = response.read()
    return response.status, [(name.lower(), value) for name, value in response.getheaders()], body


def size(data: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.size


def fields_and_body(data: bytes) -> tuple[list[str], bytes]:
    top, _, body = data.partition(b"\r\n\r\n")
    return top.decode().split("\r\n")[1:], body


# the server


def test_hosts_log_and_pages(web: FakeWeb) -> None:
    assert web.url("/a", host=0) == f"http://127.0.0.1:{web.port}/a"
    assert web.url("/a", host=9) == f"http://127.0.0.2:{web.port}/a"
    web.put("/robots.txt", b"User-agent: *\nDisallow: /\n", content_type="text/plain", headers=[("X-A", "b")])
    request = urllib.request.Request(web.url("/robots.txt?x=1", host=3), headers={"User-Agent": "a crawler"})
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.read().startswith(b"User-agent")
        assert response.headers["X-A"] == "b"
    assert web.hits == {"/robots.txt?x=1": 1}
    assert (web.log[0].headers["user-agent"], web.log[0].address) == ("a crawler", "127.0.0.4")


def test_connections_are_kept_and_counted(web: FakeWeb) -> None:
    connections = [http.client.HTTPConnection("127.0.0.5", web.port, timeout=5) for _ in range(3)]
    for connection in connections * 2:
        connection.request("GET", "/photo/1.jpg")
        assert connection.getresponse().read()
    for connection in connections:
        connection.close()
    assert web.peak_connections == {"127.0.0.5": 3}
    connections[0].request("HEAD", "/photo/1.jpg")
    response = connections[0].getresponse()
    assert int(response.headers["content-length"]) > 1000
    assert response.read() == b""
    connections[0].close()


def test_https() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with FakeWeb(hosts=2, ssl_context=context) as web:
        with urllib.request.urlopen(web.url("/photo/1.jpg", host=1), timeout=5, context=trusting) as response:
            assert size(response.read())
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(web.url("/photo/1.jpg"), timeout=5)


# the table


def test_every_fault_says_what_is_right() -> None:
    assert len(FAULTS) >= 50
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.what
        assert fault.reasons
        assert all(reason is None or isinstance(reason, Reason) for reason in fault.reasons)


@pytest.mark.parametrize(
    "name", sorted(name for name, fault in FAULTS.items() if not fault.heavy and not name.startswith("drip"))
)
def test_faults_that_do_not_wait_are_over_at_once(web: FakeWeb, name: str) -> None:
    _, end = wire(web, f"/fault/{name}/1", limit=500_000, patience_s=0.1 if FAULTS[name].waits else 2.0)
    assert (end == "silent") == FAULTS[name].waits


# statuses


@pytest.mark.parametrize("status", [400, 403, 404, 410, 429, 451, 500])
def test_statuses_stay(web: FakeWeb, status: int) -> None:
    for _ in range(4):
        got, fields, _ = answer(web, f"/fault/{status}/1")
        assert got == status
        assert "retry-after" not in dict(fields)
    assert web.hits[f"/fault/{status}/1"] == 4


def test_retry_after_in_its_forms(web: FakeWeb) -> None:
    status, fields, _ = answer(web, "/fault/429-after-1/9")
    assert (status, dict(fields)["retry-after"]) == (429, "1")
    assert size(answer(web, "/fault/429-after-1/9")[2])
    for name, low, high in (("503-after-date", -1, 2), ("503-after-past", -90_000, -80_000)):
        status, fields, _ = answer(web, f"/fault/{name}/9")
        assert status == 503
        assert low <= parsedate_to_datetime(dict(fields)["retry-after"]).timestamp() - time.time() <= high
        assert size(answer(web, f"/fault/{name}/9")[2])
    assert dict(answer(web, "/fault/429-after-ages/9")[1])["retry-after"] == "1000000000"


def test_server_errors_heal_for_each_path_alone(web: FakeWeb) -> None:
    assert [answer(web, "/fault/5xx-heals/17")[0] for _ in range(4)] == [502, 500, 200, 200]
    assert answer(web, "/fault/5xx-heals/18")[0] == 502
    web.forget()
    assert answer(web, "/fault/5xx-heals/17")[0] == 502


# the connection


def test_resets(web: FakeWeb) -> None:
    assert wire(web, "/fault/reset/1") == (b"", "reset")
    data, end = wire(web, "/fault/reset-mid/1")
    fields, body = fields_and_body(data)
    assert end == "reset"
    assert 0 < len(body) < length(fields)


def length(fields: list[str]) -> int:
    return next(int(field.split(":")[1]) for field in fields if field.startswith("Content-Length"))


def test_silence(web: FakeWeb) -> None:
    assert wire(web, "/fault/stall/1") == (b"", "silent")
    data, end = wire(web, "/fault/stall-mid/1")
    fields, body = fields_and_body(data)
    assert end == "silent"
    assert len(body) == length(fields) // 2


def test_dripping(web: FakeWeb) -> None:
    data, end = wire(web, "/fault/drip-headers/1", limit=10)
    assert (end, data[:9]) == ("more", b"HTTP/1.1 ")
    data, end = wire(web, "/fault/drip/1", limit=150)
    fields, body = fields_and_body(data)
    assert end == "more"
    assert body.startswith(b"\xff\xd8")
    assert len(body) < length(fields)


def test_endless(web: FakeWeb) -> None:
    data, end = wire(web, "/fault/endless/1", limit=60 << 20)
    assert end == "more"
    assert b"Content-Length" not in data[:200]
    assert data.endswith(bytes(1000))


def test_waiting_faults_end_with_the_web() -> None:
    with FakeWeb(hosts=1) as web:
        sockets = []
        for name in ("stall", "stall-mid", "drip", "drip-headers", "endless"):
            sock = socket.create_connection((web.addresses[0], web.port), timeout=5)
            sock.sendall(f"GET /fault/{name}/1 HTTP/1.1\r\n\r\n".encode())
            sockets.append(sock)
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert [read_to_the_end(sock) for sock in sockets] == [True] * 5
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", web.port), timeout=1)


# framing


@pytest.mark.parametrize(
    ("name", "said", "sent"),
    [("short-body", 1.0, 0.5), ("long-length", None, 1.0), ("short-length", 0.5, 1.0)],
)
def test_lengths_that_lie(web: FakeWeb, name: str, said: float | None, sent: float) -> None:
    data, end = wire(web, f"/fault/{name}/1")
    fields, body = fields_and_body(data)
    whole = answer(web, f"/photo/{picture_number(f'/fault/{name}/1')}.jpg")[2]
    assert end == "closed"
    assert len(body) == int(len(whole) * sent)
    assert length(fields) == (len(whole) + 1000 if said is None else int(len(whole) * said))
    assert whole.startswith(body)


def test_framing_that_contradicts_itself(web: FakeWeb) -> None:
    def lengths(name: str) -> list[str]:
        fields = fields_and_body(wire(web, f"/fault/{name}/1")[0])[0]
        return [field for field in fields if field.startswith(("Content-Length", "Transfer"))]

    assert lengths("negative-length") == ["Content-Length: -1"]
    assert len(set(lengths("two-lengths"))) == 2
    assert lengths("te-cl") == ["Content-Length: 7", "Transfer-Encoding: chunked"]


def test_chunks_that_break(web: FakeWeb) -> None:
    for name, problem in (("bad-chunk", b"\r\nzz\r\n"), ("cut-chunk", b"")):
        data, end = wire(web, f"/fault/{name}/1")
        assert end == "closed"
        assert problem in data
        with pytest.raises((http.client.IncompleteRead, ValueError)):
            answer(web, f"/fault/{name}/1")


def test_big_header(web: FakeWeb) -> None:
    fields, body = fields_and_body(wire(web, "/fault/big-header/1")[0])
    assert max(len(field) for field in fields) > 200_000
    assert size(body)


# redirects


def test_redirects(web: FakeWeb) -> None:
    def location(path: str) -> str:
        status, fields, _ = answer(web, path)
        assert status == 302
        return dict(fields)["location"]

    assert location("/fault/redirect-loop/1") == "/fault/redirect-loop/1"
    assert location("/fault/redirect-file/1").startswith("file:///")
    assert location("/fault/redirect-private/1").startswith("http://169.254.169.254/")
    path = location("/fault/redirect-ok/1")
    assert size(answer(web, path)[2])
    path, hops = "/fault/redirect-many/1", 0
    while answer(web, path)[0] == 302:
        path, hops = location(path), hops + 1
    assert hops == 50


def test_canary_counts(web: FakeWeb) -> None:
    assert web.canary_hits == 0
    with urllib.request.urlopen(web.url("/fault/redirect-canary/1"), timeout=5) as response:
        assert response.url == web.canary_url
    assert web.canary_hits == 1
    web.forget()
    assert web.canary_hits == 0


# bodies


def test_bodies_that_are_no_picture(web: FakeWeb) -> None:
    starts = {"html": b"<!doctype html", "json": b'{"', "empty": b"", "svg": b"<svg"}
    for name, start in starts.items():
        status, fields, body = answer(web, f"/fault/{name}/1")
        assert (status, dict(fields)["content-type"].split("/")[0]) == (200, "image")
        assert body.startswith(start)
    assert answer(web, "/fault/empty/1")[2] == b""


def test_broken_pictures_do_not_decode(web: FakeWeb) -> None:
    for name in ("truncated", "corrupt", "truncated-png", "huge-chunk"):
        status, _, body = answer(web, f"/fault/{name}/1")
        assert status == 200
        image = Image.open(io.BytesIO(body))
        assert image.width > 0
        with pytest.raises((OSError, SyntaxError)):
            image.load()
        image.close()
    with pytest.raises(ValueError, match="JPEG"):
        simplejpeg.decode_jpeg(answer(web, "/fault/corrupt/1")[2])
    assert len(answer(web, "/fault/huge-chunk/1")[2]) == 79


@pytest.mark.parametrize(("name", "side"), [("pixel-bomb", 60_000), ("pixel-bomb-small", 12_000)])
def test_pixel_bombs_are_small(web: FakeWeb, name: str, side: int) -> None:
    body = answer(web, f"/fault/{name}/1")[2]
    assert 400_000 < len(body) < 450_000
    assert struct.unpack(">II", body[16:24]) == (side, side)


def test_gzip(web: FakeWeb) -> None:
    _, fields, body = answer(web, "/fault/gzip/1")
    assert ("content-encoding", "gzip") in fields
    assert size(gzip.decompress(body))
    _, fields, body = answer(web, "/fault/gzip-twice/1")
    assert ("content-encoding", "gzip, gzip") in fields
    assert size(gzip.decompress(gzip.decompress(body)))
    _, fields, body = answer(web, "/fault/gzip-bomb/1")
    assert ("content-encoding", "gzip") in fields
    assert len(body) < 250_000
    with gzip.open(io.BytesIO(body)) as file:
        assert sum(len(piece) for piece in iter(lambda: file.read(1 << 24), b"")) == 200 << 20


def test_placeholder(web: FakeWeb) -> None:
    assert answer(web, "/fault/placeholder/1")[2] == answer(web, "/fault/placeholder/2")[2]
    assert answer(web, "/fault/redirect-ok/1?hop=1")[2] != answer(web, "/fault/redirect-ok/2?hop=1")[2]


# consent


def test_opt_outs(web: FakeWeb) -> None:
    def tags(name: str) -> list[str]:
        status, fields, body = answer(web, f"/fault/{name}/1")
        assert status == 200
        assert size(body)
        return [value for field, value in fields if field == "x-robots-tag"]

    assert tags("optout-noai") == ["noai"]
    assert tags("optout-noimageai") == ["NoImageAI"]
    assert len(tags("optout-repeated")) == 2
    assert tags("optout-agent") == ["gristmill: noai"]
    assert FAULTS["optout-other-agent"].reasons == {None}
    assert all(FAULTS[name].reasons == {Reason.OPTED_OUT} for name in ("optout-noai", "optout-mixed"))
