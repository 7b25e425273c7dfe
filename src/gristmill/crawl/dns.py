"""Name lookups: cached, few at once, each with a deadline, one for all who ask, and never an inside address."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic

from aiohttp.abc import AbstractResolver, ResolveResult

from gristmill.crawl.addresses import is_public
from gristmill.crawl.guard import Refused
from gristmill.crawl.loop import end_all
from gristmill.crawl.settings import CrawlSettings
from gristmill.spec.reasons import Reason

__all__ = ["Resolver", "system_lookup"]

Lookup = Callable[[str], Sequence[str]]

MAX_CACHED = 200_000
# A lookup that has used up its time frees its place, while its thread still hangs in the system's resolver.
THREADS_PER_LOOKUP = 8
MAX_ADDRESSES = 16  # of one host; the first few are all that is ever tried
_NO_SUCH_NAME = frozenset(
    getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
)


def system_lookup(host: str) -> list[str]:
    """All addresses of a host by the system's resolver; blocks.

    Raises:
        OSError: ``socket.gaierror`` or whatever the system says.
        UnicodeError: The name cannot be a host's.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class _Entry:
    expires_s: float
    addresses: tuple[str, ...]
    refusal: tuple[Reason, str] | None = None


class _Threads:
    """Threads for blocking lookups. They are daemons, so that a hanging lookup cannot hold up the exit."""

    def __init__(self, most: int, work: Lookup) -> None:
        self._jobs: SimpleQueue[tuple[str, asyncio.Future[Sequence[str]]] | None] = SimpleQueue()
        self._work = work
        self._most = most
        self._started = 0
        self._busy = 0

    def ask(self, host: str) -> asyncio.Future[Sequence[str]]:
        """Start a lookup, or queue it if all threads hang in one."""
        self._busy += 1
        if self._busy > self._started < self._most:
            self._started += 1
            threading.Thread(target=self._run, name="lookup", daemon=True).start()
        future: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
        self._jobs.put((host, future))
        return future

    def close(self) -> None:
        for _ in range(self._started):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            host, future = job
            result: Sequence[str] | OSError
            try:
                result = self._work(host)
            except OSError as error:
                result = error
            except UnicodeError as error:
                result = socket.gaierror(socket.EAI_NONAME, str(error))
            try:
                future.get_loop().call_soon_threadsafe(self._deliver, future, result)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _deliver(self, future: asyncio.Future[Sequence[str]], result: Sequence[str] | OSError) -> None:
        self._busy -= 1
        if future.done():
            return
        if isinstance(result, OSError):
            future.set_exception(result)
        else:
            future.set_result(result)


class Resolver(AbstractResolver):
    """Caching resolver with a guard, for the crawler and for the HTTP client beneath it.

    Answers and refusals are remembered, temporary failures for a shorter time. A lookup that failed is
    repeated here (``dns_tries``), so that the ten thousand URLs of one host share its tries.

    Args:
        settings: Bounds and times.
        lookup: Blocking function from a host to its addresses, in place of the system's.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: CrawlSettings,
        *,
        lookup: Lookup = system_lookup,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._cache: dict[str, _Entry] = {}
        self._flights: dict[str, asyncio.Task[_Entry]] = {}
        self._free = asyncio.Semaphore(settings.dns_lookups)
        self._threads = _Threads(settings.dns_lookups * THREADS_PER_LOOKUP, lookup)

    def known(self, host: str) -> tuple[str, ...] | None:
        """The addresses of a host if no lookup is needed, else None.

        Raises:
            Refused: As :meth:`addresses`.
        """
        entry = self._cache.get(host)
        if entry is None or entry.expires_s <= self._clock():
            return None
        return _addresses_of(entry)

    def remembered(self) -> list[str]:
        """List the hosts whose answers or refusals take memory, the oldest first."""
        return list(self._cache)

    async def addresses(self, host: str) -> tuple[str, ...]:
        """All addresses of a host, every one of them public (or private ones allowed).

        Raises:
            Refused: ``DNS_NOT_FOUND``, ``DNS_FAILED`` or ``PRIVATE_ADDRESS``.
        """
        known = self.known(host)
        if known is not None:
            return known
        flight = self._flights.get(host)
        if flight is None:
            flight = self._flights[host] = asyncio.create_task(self._fly(host))
        return _addresses_of(await asyncio.shield(flight))

    async def addresses_now(self, host: str) -> tuple[str, ...]:
        """As :meth:`addresses`, but asked anew, once, whatever is remembered; and not remembered either."""
        return _addresses_of(await self._ask(host))

    def forget_failures(self) -> None:
        """Look up anew what could not be looked up."""
        for host in [host for host, entry in self._cache.items() if entry.refusal is not None]:
            del self._cache[host]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Say what the HTTP client calls before it connects. Raises OSError in place of Refused."""
        try:
            addresses = await self.addresses(host)
        except Refused as refusal:
            raise OSError(None, refusal.detail) from refusal
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """End the lookups under way, without waiting for threads that hang in one."""
        await end_all(self._flights.values())
        self._threads.close()

    async def _fly(self, host: str) -> _Entry:
        try:
            for tries_left in reversed(range(self._settings.dns_tries)):
                entry = await self._ask(host)
                if tries_left == 0 or entry.refusal is None or entry.refusal[0] is not Reason.DNS_FAILED:
                    break
            self._cache.pop(host, None)
            self._make_room()
            self._cache[host] = entry
            return entry
        finally:
            del self._flights[host]

    def _make_room(self) -> None:
        """Forget what has expired, from the oldest on, and the oldest where there are too many."""
        now_s = self._clock()
        while self._cache:
            oldest = next(iter(self._cache))
            if self._cache[oldest].expires_s > now_s and len(self._cache) < MAX_CACHED:
                return
            del self._cache[oldest]

    async def _ask(self, host: str) -> _Entry:
        settings = self._settings
        async with self._free:
            future = self._threads.ask(host)
            try:
                async with asyncio.timeout(settings.dns_timeout_s):
                    addresses = tuple(await future)[:MAX_ADDRESSES]
            except TimeoutError as error:
                if not future.done() or future.cancelled():
                    return self._failed(f"no answer within {settings.dns_timeout_s:g} s")
                if future.exception() is not None:
                    return self._failed(str(error))  # the system's own time-out, not ours
                addresses = tuple(future.result())[:MAX_ADDRESSES]  # it came while we stood still
            except OSError as error:
                if error.errno in _NO_SUCH_NAME:
                    return self._refused(Reason.DNS_NOT_FOUND, f"{host}: {error.strerror or error}")
                return self._failed(f"{host}: {error.strerror or error}")
        if not addresses:
            return self._refused(Reason.DNS_NOT_FOUND, f"{host} has no address")
        inside = [a for a in addresses if not is_public(a)] if not settings.allow_private_addresses else []
        if inside:
            return self._refused(Reason.PRIVATE_ADDRESS, f"{host} is {inside[0]}, not a public address")
        return _Entry(self._clock() + settings.dns_ttl_s, addresses)

    def _refused(self, reason: Reason, detail: str) -> _Entry:
        return _Entry(self._clock() + self._settings.dns_ttl_s, (), (reason, detail))

    def _failed(self, detail: str) -> _Entry:
        return _Entry(self._clock() + self._settings.dns_failure_ttl_s, (), (Reason.DNS_FAILED, detail))


def _addresses_of(entry: _Entry) -> tuple[str, ...]:
    if entry.refusal is not None:
        raise Refused(*entry.refusal)
    return entry.addresses
