"""From what went wrong in the HTTP client, the TLS layer or a socket to a reason: the one place for it."""

from __future__ import annotations

import asyncio
import errno
import re
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from gristmill.spec.reasons import Reason

__all__ = ["EXCHANGE_ERRORS", "Broken", "describe", "reason_of_error", "reason_of_status"]

LIBRARY_BUGS = (RuntimeError, AssertionError, AttributeError, LookupError, TypeError)
"""What the HTTP client or the event loop raises when a stranger's bytes or timing find a hole in them. One URL
must not end a run, so it becomes ``INTERNAL_ERROR``, of which too many stop a run."""

EXCHANGE_ERRORS = (
    aiohttp.ClientError,
    HttpProcessingError,
    TimeoutError,
    ssl.SSLError,
    OSError,
    ValueError,
    *LIBRARY_BUGS,
)
"""All that an exchange may raise because of the web. ValueError covers malformed URLs and header values."""


class Broken(aiohttp.ClientError):
    """A new connection that broke before an answer came; its cause says how.

    The HTTP client does not ask again, unseen, as it does after the errors that this stands for.
    """


_RESET = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ENOTCONN})
_TIMED_OUT = frozenset({errno.ETIMEDOUT})
_RANGE = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)
_OURS = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}
)
_BY_STATUS = {
    403: Reason.HTTP_403,
    404: Reason.HTTP_404,
    410: Reason.HTTP_410,
    429: Reason.HTTP_429,
    451: Reason.HTTP_451,
}


def reason_of_status(status: int, content_range: str | None = None) -> Reason | None:
    """None for an answer whose body counts.

    That is any success that may have one (200, 201, 202, and 203 from a transforming proxy), and a part (206) that is
    all there is.
    """
    if status in {200, 201, 202, 203} or (status == 206 and _is_all(content_range or "")):
        return None
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status <= 499:
        return Reason.HTTP_4XX
    return Reason.HTTP_5XX if 500 <= status <= 599 else Reason.HTTP_OTHER


def _is_all(content_range: str) -> bool:
    match = _RANGE.fullmatch(content_range.strip())
    return match is not None and int(match[1]) + 1 == int(match[2])


def reason_of_error(error: BaseException, *, in_body: bool) -> Reason:
    """The reason that an exception of an exchange stands for.

    Args:
        error: One of ``EXCHANGE_ERRORS``.
        in_body: Whether the answer's head had come.
    """
    if _is_tls(error):
        return Reason.TLS
    if isinstance(error, Broken) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Reason.CONNECT_TIMEOUT
    if isinstance(error, aiohttp.SocketTimeoutError):
        return Reason.STALLED
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Reason.DNS_FAILED
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        return Reason.SHORT_BODY if in_body else Reason.RESET
    if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)):
        # Where the head and a bad chunk come in one packet, only the parser's words tell.
        return Reason.SHORT_BODY if in_body or "chunk" in describe(error) else Reason.BAD_HTTP
    if isinstance(error, aiohttp.InvalidURL):
        return Reason.BAD_URL
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)) and not isinstance(error, aiohttp.ClientError):
        return Reason.CONNECT_TIMEOUT
    if isinstance(error, OSError):
        return _of_os_error(error, in_body=in_body)
    if isinstance(error, aiohttp.ClientConnectionError):
        return Reason.SHORT_BODY if in_body else Reason.RESET
    return Reason.INTERNAL_ERROR if isinstance(error, LIBRARY_BUGS) else Reason.BAD_HTTP


def describe(error: BaseException) -> str:
    """The error in few words: without the URL, which is known, and without quoting more than a line."""
    if isinstance(error, Broken) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    elif isinstance(error, aiohttp.ClientPayloadError) and error.__cause__ is not None:
        error = error.__cause__
    text = (
        error.message if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)) else str(error)
    )
    return text.partition("\n")[0].rstrip(":") or type(error).__name__


def _is_tls(error: BaseException) -> bool:
    """TLS errors may come wrapped: an alert after the handshake breaks the connection like a reset."""
    link: BaseException | None = error
    for _ in range(5):
        if link is None:
            return False
        if isinstance(link, (ssl.SSLError, aiohttp.ClientSSLError, ssl.CertificateError)):
            return True
        link = link.__cause__
    return False


def _of_os_error(error: OSError, *, in_body: bool) -> Reason:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    number = error.errno
    if number in _OURS:
        return Reason.INTERNAL_ERROR
    if number in _TIMED_OUT:
        return Reason.CONNECT_TIMEOUT if isinstance(error, aiohttp.ClientConnectorError) else Reason.STALLED
    if in_body:
        return Reason.SHORT_BODY
    if number in _RESET or (isinstance(cause, ConnectionError) and number is None):
        return Reason.RESET
    return Reason.CONNECT_FAILED if isinstance(error, aiohttp.ClientConnectorError) else Reason.RESET
