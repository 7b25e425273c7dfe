"""One request and its answer: the only file that holds the HTTP client's session, sockets and TLS context."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, partial
from pathlib import Path
from time import thread_time
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from gristmill.crawl.addresses import is_public
from gristmill.crawl.body import read_body, read_large
from gristmill.crawl.budget import Hold
from gristmill.crawl.classify import EXCHANGE_ERRORS, Broken, describe, reason_of_error, reason_of_status
from gristmill.crawl.costs import Costs
from gristmill.crawl.dns import Resolver
from gristmill.crawl.guard import Refused, Target
from gristmill.crawl.head import HEAD_END, Smuggling, mended
from gristmill.crawl.optout import directives_for_us, opted_out, reservations
from gristmill.crawl.partial import Partial
from gristmill.crawl.settings import GATEWAY, CrawlSettings, Proxy
from gristmill.crawl.watch import Attempt, ExchangePhase, RequestWatch
from gristmill.spec.body import Body
from gristmill.spec.errors import MachineError
from gristmill.spec.reasons import Reason

__all__ = ["Client", "Exchange", "Ours", "tls_context"]

KEEP_ALIVE_S = 5.0
READ_BUFFER_BYTES = 4 * 1024 * 1024
"""Reading pauses at twice this much. Where it pauses under TLS, uvloop 0.23 loses the end of an answer whose
server then closes, so that it must be more than all but the largest pictures have."""
MOST_IDLE_TLS = 64
"""Kept TLS connections of a worker without a request: each holds about half a megabyte of buffers."""
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADERS = 256
MOST_HEADS = 16
"""In one piece: the final one and informational ones (1xx) before it."""
PIECE_BYTES = 32 * 1024
MOST_PIECE_S = 0.02
"""No piece costs more; where it does, our own garbage was collected meanwhile."""
READING = 3
"""How many times as much an answer in tiny chunks costs, its reader included, as taking it apart does."""
_PROTOCOL = b"HTTP/"
_INFORMATIONAL = re.compile(rb"HTTP/[0-9.]+ +1")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CLOSE = {"Connection": "close"}

# The attempt on whose behalf a socket is made; tasks that race to connect inherit it.
_ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")


class Ours(IntEnum):
    """Says whether a failure is our proxy's and not the server's."""

    NO = 0
    PERHAPS = 1
    SURELY = 2


@dataclass(slots=True)
class Exchange:
    """Holds what one request brought: a body, a redirect (``location``), or a reason."""

    reason: Reason | None = None
    detail: str = ""
    status: int | None = None
    location: str | None = None
    body: Body | None = None
    content_type: str | None = None
    opt_out: tuple[str, ...] = ()
    retry_after: str | None = None
    date: str | None = None
    """When the server says it answered."""
    received_bytes: int = 0
    left_s: float = 0.0
    """What is left of the time for this try."""
    asked: bool = False
    """Whether the server was asked at all."""
    final: bool = False
    """Another try now would bring the same, whatever the reason."""
    looked_up: bool = False
    """Whether the host's name was looked up for it, and found."""
    head_s: float | None = None
    """From the request to the head of its answer."""
    vain_s: float = 0.0
    """How long we waited for the server, where it brought next to nothing."""
    ours: Ours = Ours.NO


class _HeadFirst(ResponseHandler):
    """Hands an answer's head to the HTTP parser whole, mended, and apart from what comes with it in one piece.

    The parser forgets a whole answer when what follows it in the same piece is wrong. A body that is longer
    than its announced length would then count or not as the network cuts it. What all this costs is measured.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, encrypted: set[ResponseHandler]) -> None:
        super().__init__(loop=loop)
        self._encrypted = encrypted
        self._opener = _ATTEMPT.get(None)
        self._cost = None if self._opener is None else self._opener.cost
        self._head = b""  # as far as it has come
        self._used = self._asked = False  # ever; and the answer's head is yet to come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, its TLS handshake included."""
        super().connection_made(transport)
        if self._opener is not None:
            self._opener.connect(self._loop.time())
            self._opener = None
        if transport.get_extra_info("ssl_object") is not None:
            self._encrypted.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self._encrypted.discard(self)
        if self._head:  # cut off: the parser shall say so
            super().data_received(self._head)
        super().connection_lost(exc)

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be made."""
        self._used = self._asked = True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket, taken in pieces, so that a host that costs too much is stopped soon."""
        for start in range(0, max(1, len(data)), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            if self._cost is None:
                self._take(piece)
            elif not self._cost.too_much:
                began_s = thread_time()
                self._take(piece)
                self._cost.spend(READING * min(thread_time() - began_s, MOST_PIECE_S), len(piece))
            elif self.transport is not None:
                self.transport.abort()
                return

    def _take(self, data: bytes) -> None:
        heads = 0
        while data and self._used and (self._payload is None or self._payload.is_eof()):
            if not self._asked and heads == 0:
                self._refuse("an answer that was not asked for")
                return
            heads += 1
            searched, data, self._head = self._head.rfind(b"\n"), self._head + data, b""
            if not data.startswith(_PROTOCOL[: len(data)]):
                break  # no answer, or more than the answer: the parser shall say so
            end = HEAD_END.search(data, max(0, searched))
            head = data[: end.end()] if end is not None else data
            if len(head) > MAX_HEADER_BYTES or heads > MOST_HEADS:
                self._refuse(
                    "the head is too long" if heads <= MOST_HEADS else "informational answers without end"
                )
                return
            if end is None:
                self._head = data
                return
            try:
                super().data_received(mended(head))
            except Smuggling as error:
                self._refuse(str(error))
                return
            self._asked = _INFORMATIONAL.match(head) is not None
            data = data[len(head) :]
        if data or heads == 0:  # nothing: it may go on with what it has
            super().data_received(data)

    def _refuse(self, words: str) -> None:
        if self.transport is not None:
            self.transport.close()
        self.set_exception(HttpProcessingError(message=words))


async def _ask_again_only_if_stale(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Bound the HTTP client's own hidden repeat of a GET to where it is due.

    A server may close a kept-alive connection in the moment that it is used again. Then the client asks
    once more, which does not count as a try: nothing was wrong with the server or the URL.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if _ATTEMPT.get().opened:
            raise Broken(str(error)) from error
        raise


def _drop_frames(error: BaseException | None) -> None:
    """Cut the rings of an error, its frames and what these hold: the HTTP client keeps its errors in its frames."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def tls_context(*, verify: bool) -> ssl.SSLContext:
    """The TLS settings of all connections: TLS 1.2 or later, the system's authorities or ``SSL_CERT_FILE``.

    Raises:
        MachineError: There are no authorities: every HTTPS address would be recorded as a dead one.
    """
    return _tls_context(verify, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache  # to read the authorities takes some 40 ms of processor time
def _tls_context(verify: bool, file: str | None, folder: str | None) -> ssl.SSLContext:
    """What ``tls_context`` says; OpenSSL takes the file and folder from the environment."""
    context = ssl.create_default_context()
    if verify:
        _check_authorities(context)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _check_authorities(context: ssl.SSLContext) -> None:
    """What is not there, or holds none, is passed over without a word; a folder's are loaded when they are needed."""
    if context.cert_store_stats()["x509_ca"]:
        return
    file, folder = os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().capath
    if not file and folder and any(Path(folder).iterdir()):
        return
    where = f"SSL_CERT_FILE={file} holds none" if file else "this machine has none"
    raise MachineError(
        f"No certificate authority is known, so no https address can be verified: {where}. Install them (for Debian: "
        "ca-certificates), or name a file of them with SSL_CERT_FILE; --no-verify-tls asks without verifying."
    )


class Client:
    """Makes single requests, guarded and bounded; knows nothing of retries, queues or hosts.

    Args:
        settings: Limits and trust.
        resolver: For every name; literal addresses are checked by the guard.
        watch: Keeps the deadlines.
    """

    def __init__(self, settings: CrawlSettings, resolver: Resolver, watch: RequestWatch) -> None:
        self._settings = settings
        self._resolver = resolver
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self.costs = Costs(self._loop.time)
        self._proxy = Proxy.of(settings.proxy) if settings.proxy else None
        self._through: dict[str, Any] = {}
        if self._proxy is not None:
            login = {"Proxy-Authorization": self._proxy.login} if self._proxy.login else {}
            self._through = {"proxy": self._proxy.text, "proxy_headers": login}
        connector = aiohttp.TCPConnector(
            ssl=tls_context(verify=settings.verify_tls),
            resolver=resolver if self._proxy is None else aiohttp.ThreadedResolver(),
            use_dns_cache=self._proxy is not None,  # the resolver has one
            limit=0,  # the schedule bounds connections, in all and by host
            keepalive_timeout=KEEP_ALIVE_S,
            socket_factory=self._make_socket,
        )
        self._encrypted: set[ResponseHandler] = set()
        self._encrypted_busy = 0
        handler = partial(_HeadFirst, self._loop, self._encrypted)
        # a private attribute, for want of a public one: docs/decisions/0030
        connector._factory = cast("partial[ResponseHandler]", handler)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": settings.user_agent,
                "Accept": "image/*, */*;q=0.5",
                "Accept-Encoding": "identity",
            },
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=None,
                sock_connect=None,
                sock_read=None,  # the watch keeps them all
            ),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            middlewares=(_ask_again_only_if_stale,),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def exchange(
        self,
        target: Target,
        *,
        hold: Hold,
        left_s: float,
        keep_alive: Callable[[], bool],
        give_way: Callable[[int], bool],
        patience: Callable[[], float] | None = None,
        host: str | None = None,
        first_bytes: int | None = None,
        came: Partial | None = None,
    ) -> Exchange:
        """Ask for one URL, once, without following a redirect.

        Args:
            target: Checked by the guard.
            hold: Bytes of the body are held here; the caller gives them back.
            left_s: Seconds left for this try; a lookup does not count.
            keep_alive: Whether the connection is likely to be used again; asked before and after the head.
            give_way: Called with the bytes received so far once the server turns out to be slow.
            patience: Seconds within which the head must come; ``stall_s`` by default.
            host: By which name the watch knows those of this host.
            came: What came of its body before, if large bodies go to files.
            first_bytes: Take no more of the body than that, and whatever an opt-out header says: it is no picture.

        Returns:
            What came of it. Only cancellation from outside, and bugs, raise.
        """
        attempt = self._watch.begin(
            left_s, lambda: give_way(attempt.received_bytes), patience, host, cost=self.costs.of(target.key)
        )
        _ATTEMPT.set(attempt)
        result = Exchange(asked=True)
        encrypted = target.scheme == "https"
        if encrypted:
            keep_alive = partial(self._keeps_encrypted, keep_alive)
        self._encrypted_busy += encrypted
        try:
            result.looked_up = await self._look_up(target)
            attempt.deadline_s = self._loop.time() + left_s
            await self._ask(target, attempt, hold, keep_alive, first_bytes, came, result)
        except Refused as refusal:
            result.reason, result.detail = refusal.reason, refusal.detail
        except EXCHANGE_ERRORS as error:
            result.reason = reason_of_error(error, in_body=attempt.phase is ExchangePhase.BODY)
            result.detail = describe(error)
            if self._proxy is not None:
                self._blame_proxy(error, result)
            _drop_frames(error)
        except asyncio.CancelledError:
            # The watch's doing, unless somebody else wants this task gone as well.
            if attempt.reason is None or attempt.task.uncancel() > 0:
                raise
            result.reason, result.detail = attempt.reason, attempt.detail
            if self._proxy is not None and result.reason is Reason.CONNECT_TIMEOUT:
                result.ours = Ours.SURELY
        finally:
            self._encrypted_busy -= encrypted
            self._watch.end(attempt)
        if attempt.cost.too_much and result.body is None:
            result.reason, result.location = Reason.COSTLY, None
            result.detail = attempt.cost.words
        if attempt.refused is not None:
            result.reason, result.body = Reason.PRIVATE_ADDRESS, None
            result.detail = f"{target.host} led to {attempt.refused}, not a public address"
        result.received_bytes = attempt.received_bytes
        result.left_s = max(0.0, attempt.deadline_s - self._loop.time())
        if result.reason is not None:
            result.vain_s = self._watch.in_vain(attempt)
        return result

    def _keeps_encrypted(self, keep_alive: Callable[[], bool]) -> bool:
        return len(self._encrypted) - self._encrypted_busy < MOST_IDLE_TLS and keep_alive()

    async def _look_up(self, target: Target) -> bool:
        """Find a name that is not known yet. What cannot be found here is left to the proxy, if there is one."""
        try:
            if self._resolver.known(target.host) is not None:
                return False
            if ":" in target.host or target.host[-1].isdigit():
                return False
            await self._resolver.addresses(target.host)
        except Refused as refusal:
            if self._proxy is None or refusal.reason is Reason.PRIVATE_ADDRESS:
                raise
        return True

    def _blame_proxy(self, error: BaseException, result: Exchange) -> None:
        """Tell what a proxy did from what a server did."""
        assert self._proxy is not None
        if isinstance(error, (aiohttp.ClientProxyConnectionError, aiohttp.ClientConnectorDNSError)):
            result.ours = Ours.SURELY
            result.reason = Reason.CONNECT_FAILED
        elif isinstance(error, aiohttp.ClientHttpProxyError):
            result.ours = Ours.SURELY if error.status == 407 else Ours.PERHAPS
            result.reason = Reason.CONNECT_FAILED
            result.detail = f"{error.status} {result.detail}"
        if result.ours:
            result.detail = f"the proxy {self._proxy.text}: {result.detail}"

    async def _ask(
        self,
        target: Target,
        attempt: Attempt,
        hold: Hold,
        keep_alive: Callable[[], bool],
        first_bytes: int | None,
        came: Partial | None,
        result: Exchange,
    ) -> None:
        loop_time = self._loop.time
        asked_s = loop_time()
        attempt.enter(ExchangePhase.HEAD, asked_s)
        response = await self._session.get(
            target.url(),
            allow_redirects=False,
            headers=self._headers(target, keep=keep_alive()) | (came.headers() if came else {}),
            **self._through,
        )
        try:
            attempt.enter(ExchangePhase.BODY, loop_time())
            result.head_s = attempt.seen_at_s - asked_s
            attempt.response = response
            await self._read(response, attempt, hold, keep_alive, first_bytes, came, result)
        finally:
            response.release()  # closes the connection, too, if the body was not read to its end

    def _headers(self, target: Target, *, keep: bool) -> dict[str, str]:
        """Beside the session's own. With https the proxy is told who we are where the tunnel is asked for."""
        headers = {} if keep else dict(_CLOSE)
        if self._proxy is not None and self._proxy.login and target.scheme == "http":
            headers["Proxy-Authorization"] = self._proxy.login
        return headers

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        attempt: Attempt,
        hold: Hold,
        keep_alive: Callable[[], bool],
        first_bytes: int | None,
        came: Partial | None,
        result: Exchange,
    ) -> None:
        settings = self._settings
        headers = response.headers
        result.status = response.status
        result.content_type = headers.get("Content-Type")
        if "X-Robots-Tag" in headers:
            result.opt_out = directives_for_us(headers.getall("X-Robots-Tag"), settings.agent_names)
        if "TDM-Reservation" in headers or "Content-Usage" in headers:
            result.opt_out += reservations(
                headers.getall("TDM-Reservation", ()), headers.getall("Content-Usage", ())
            )
        goes_on = came is not None and came.goes_on(response.status, headers)
        if response.status in _REDIRECTS:
            result.location = headers.get("Location")
            if result.location is None:
                raise Refused(Reason.REDIRECTS, f"status {response.status} without a Location")
        elif not goes_on:
            result.reason = reason_of_status(response.status, headers.get("Content-Range"))
        if self._proxy is not None and response.url.scheme == "http" and response.status in GATEWAY:
            result.ours = Ours.PERHAPS
        if result.reason is not None:
            result.retry_after, result.date = headers.get("Retry-After"), headers.get("Date")
            result.detail = f"{response.status} {response.reason or ''}".strip()
            return
        if (
            first_bytes is None
            and settings.respect_opt_out
            and opted_out(result.opt_out, settings.opt_out_directives)
        ):
            raise Refused(Reason.OPTED_OUT, "the headers say " + ", ".join(result.opt_out))
        if result.location is not None:
            return
        connection = response.connection
        if connection is not None and connection.protocol is not None and not keep_alive():
            connection.protocol.force_close()
        if came is not None:
            result.body = await read_large(
                response, attempt, hold, settings.max_body_bytes, came, goes_on=goes_on
            )
        else:
            result.body = await read_body(response, attempt, hold, settings.max_body_bytes, first_bytes)
        if not result.body:
            result.body = None
            raise Refused(Reason.EMPTY, "no bytes")

    def _make_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """The guard at its last gate: nothing connects but through here, to exactly this address."""
        family, kind, protocol, _, destination = address
        attempt = _ATTEMPT.get()
        attempt.open(self._loop.time())
        guarded = self._proxy is None and not self._settings.allow_private_addresses
        if guarded and not is_public(destination[0]):
            attempt.refused = destination[0]
            raise OSError(None, f"{destination[0]} is not a public address")
        connecting = socket.socket(family, kind, protocol)
        connecting.setblocking(False)
        return connecting
