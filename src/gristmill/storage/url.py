"""A single file by its URL, through the standard library's client: resumed where it broke off, known by its checksum.

The client takes proxies and certificates from the environment (``https_proxy``, ``SSL_CERT_FILE``). TLS is always
verified, and a redirect may not lead from https to http.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from gristmill.spec.errors import AccessError, SourceError, UsageError
from gristmill.storage.files import sha256_file, sync_folder

__all__ = ["fetch", "is_url", "name_of"]

_CHUNK_BYTES = 1 << 20
_STALL_S = 30.0
_HEAD_S = 60.0
"""Within so long an answer's head must be there: its bytes, one by one, may each come within ``_STALL_S``."""
_TRIES = 4
_MOST_BYTES = 64 << 30
"""Of a file whose size nobody has published."""
_SLOWEST_BYTES_S = 20_000
_LEAST_S = 120.0


_NETWORK = (urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError)


class _TryAgain(Exception):
    """The exchange broke off; what came is kept."""


def is_url(place: str) -> bool:
    """Say whether a place is an address of this kind."""
    return place.startswith(("http://", "https://"))


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None,
    size_bytes: int | None = None,
    wait: Callable[[float], None] = time.sleep,
    tell: Callable[[int], None] = lambda have: None,
) -> Path:
    """Fetch a file to ``path``, unless it is there already.

    Args:
        url: ``http`` or ``https``.
        path: Final name; appears whole and checked. What came of an interrupted call lies beside it.
        sha256: Hex; other content is refused. None: whatever comes is taken, and what broke off begins anew.
        size_bytes: Published size: no more is taken, and it bounds the time.
        wait: Called between tries.
        tell: Told how many bytes of it there are, now and then.

    Raises:
        SourceError: Not reachable, refused, or not the content that is wanted.
        AccessError: The server wants to know who asks.
        OSError: Disk full and the like.
    """
    if sha256 is not None and path.is_file() and sha256_file(path) == sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    deadline = time.monotonic() + max(_LEAST_S, (size_bytes or _MOST_BYTES) / _SLOWEST_BYTES_S)
    for left in reversed(range(_TRIES)):
        if sha256 is None:
            partial.unlink(missing_ok=True)
        try:
            _exchange(url, partial, size_bytes or _MOST_BYTES, deadline, tell)
            break
        except (_TryAgain, OSError, http.client.HTTPException) as err:
            if isinstance(err, OSError) and not isinstance(err, _NETWORK):
                raise  # the disk's
            if not left or time.monotonic() > deadline:
                raise SourceError(
                    f"{url} could not be fetched: {_said(err)}. Check the network, then give the same command "
                    "again: what came is kept. Or give a copy of your own with --source KEY=FILE."
                ) from err
            wait(2.0 ** (_TRIES - 1 - left))
    found = sha256 and sha256_file(partial)
    if found != sha256:
        size = partial.stat().st_size
        partial.unlink()
        raise SourceError(
            f"{url} is not the file that is wanted: it has {size:,} bytes and SHA-256 {found}, expected was "
            f"{sha256}. Upstream has changed it, or it arrived damaged; it was removed. Give the same command "
            "again, or a copy of your own with --source KEY=FILE."
        )
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(path)
    sync_folder(path.parent)
    return path


def _exchange(url: str, partial: Path, most_bytes: int, deadline: float, tell: Callable[[int], None]) -> None:
    """One request for what is still missing, appended to ``partial``."""
    began = time.monotonic()
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "gristmill", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = _opener().open(urllib.request.Request(url, headers=headers), timeout=_STALL_S)
    except urllib.error.HTTPError as err:
        with err:
            if err.code == 416:  # nothing is missing; the checksum says whether it is the right file
                return
            _refused(url, err)
    with answer:
        again = answer.status == 206 and _starts_at(answer.headers, have)
        promised = answer.headers.get("Content-Length")
        with partial.open("ab" if again else "wb") as out:
            size = out.tell()
            end = size + int(promised) if promised and promised.isdigit() else None
            # one byte too many is enough to know, by the checksum, that it is another file
            # what is there, however little: a full piece of a body that drips may never come
            while size <= most_bytes and (chunk := answer.read1(min(_CHUNK_BYTES, most_bytes + 1 - size))):
                out.write(chunk)
                size += len(chunk)
                tell(size)
                now = time.monotonic()
                if now > deadline or now - began > _LEAST_S + (size - have) / _SLOWEST_BYTES_S:
                    raise _TryAgain(f"it comes more slowly than {_SLOWEST_BYTES_S:,} bytes a second")
        if end is not None and size < min(end, most_bytes):
            raise _TryAgain(f"it broke off after {size:,} of {end:,} bytes")


def _refused(url: str, err: urllib.error.HTTPError) -> None:
    """Say what a status means, or ask for another try.

    Raises:
        AccessError, SourceError, _TryAgain: Always one of them.
    """
    if err.code >= 500 or err.code in (408, 429):
        raise _TryAgain(f"HTTP status {err.code}") from err
    if 300 <= err.code < 400:
        raise SourceError(
            f"{url} leads to {err.headers.get('Location')}, which is not safe to follow."
        ) from err
    if err.code in (401, 403):
        raise AccessError(
            f"{url}: the server refuses (HTTP status {err.code}). Fetch the file with a browser, then give the "
            "same command with --source KEY=FILE."
        ) from err
    raise SourceError(
        f"{url}: HTTP status {err.code}; the file is not there any more. Give a copy of your own with "
        "--source KEY=FILE."
    ) from err


def _starts_at(headers: Message, position: int) -> bool:
    return (headers.get("Content-Range") or "").startswith(f"bytes {position}-")


def _said(err: BaseException) -> str:
    reason = getattr(err, "reason", None)
    return str(reason if reason is not None else err) or type(err).__name__


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects among http and https, never from https to http."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """See :class:`urllib.request.HTTPRedirectHandler`."""
        scheme = urlsplit(newurl).scheme
        if not is_url(newurl) or (req.type == "https" and scheme != "https"):
            raise SourceError(f"{req.full_url} leads to {newurl}, which is not safe to follow.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Prompt(http.client.HTTPConnection):
    """A connection on which the head of an answer comes within a time, or not at all."""

    def getresponse(self) -> http.client.HTTPResponse:
        """See :class:`http.client.HTTPConnection`.

        Raises:
            TimeoutError: The head did not come in time.
        """
        late = threading.Event()

        def cut() -> None:
            late.set()
            with suppress(OSError, AttributeError):  # it is closed, or gone
                self.sock.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(_HEAD_S, cut)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()
        finally:
            timer.cancel()
            if late.is_set():  # what was cut off may look like a head
                raise TimeoutError(f"no answer within {_HEAD_S:g} s")


class _PromptTls(_Prompt, http.client.HTTPSConnection):
    """The same with TLS."""


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Prompt, req)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PromptTls, req)


def _opener() -> urllib.request.OpenerDirector:
    """A client for http and https alone: the default one also opens files and ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Http(),
        _Https(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SafeRedirects(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def name_of(url: str) -> str:
    """The file's name, from the end of its address.

    Raises:
        UsageError: It has none.
    """
    name = urlsplit(url).path.rpartition("/")[2]
    if not name or name.startswith("."):
        raise UsageError(f"{url} ends in no file's name.")
    return name
