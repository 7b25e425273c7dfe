"""Whether our own network works: can hosts be reached that answered lately, are names found at all."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from ipaddress import ip_address

from gristmill.crawl.addresses import is_public
from gristmill.crawl.dns import Resolver
from gristmill.crawl.guard import Refused, Target
from gristmill.crawl.settings import GATEWAY, CrawlSettings, Proxy

__all__ = ["Probe"]

MOST_WITNESSES = 8


class Probe:
    """Remembers the hosts that answered last, and connects to them when asked.

    Args:
        settings: Time limits, and the name that is looked up.
        resolver: Asked anew, past its memory.
    """

    def __init__(self, settings: CrawlSettings, resolver: Resolver) -> None:
        self._settings = settings
        self._resolver = resolver
        self._witnesses: dict[tuple[str, int], str] = {}  # and by which scheme
        self._proxy = Proxy.of(settings.proxy) if settings.proxy else None
        self.hopeless = False
        """Whether the proxy wants another login, or was never reached: that is not a matter of waiting."""

    @property
    def witnesses(self) -> bool:
        """Say whether anybody has answered yet."""
        return bool(self._witnesses)

    def names(self) -> list[str]:
        """Hosts that answered, the latest first."""
        return [host for host, _ in reversed(self._witnesses)]

    def witness(self, target: Target) -> None:
        """A host answered."""
        key = target.host, target.port
        self._witnesses.pop(key, None)
        self._witnesses[key] = target.scheme
        if len(self._witnesses) > MOST_WITNESSES:
            del self._witnesses[next(iter(self._witnesses))]

    async def reaches_a_witness(self) -> bool:
        """Say whether one of them can be connected to. No request is made."""
        tasks = [asyncio.create_task(self._connects(*key, scheme)) for key, scheme in self._witnesses.items()]
        try:
            for first in asyncio.as_completed(tasks):
                if await first:
                    return True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return False

    async def finds_a_name(self) -> bool:
        """Say whether the name server knows a host that answered lately; if there is none, the name of the settings.

        A proxy is asked for a connection to that name.
        """
        if self._proxy is not None:
            name = self._settings.breaker_name
            return bool(name) and await self._through(self._proxy, name, 443, "https")
        names = [host for host in self.names() if not _is_address(host)]
        for name in names or filter(None, [self._settings.breaker_name]):
            try:
                if await self._resolver.addresses_now(name):
                    return True
            except Refused:
                continue
        return False

    async def _connects(self, host: str, port: int, scheme: str) -> bool:
        if self._proxy is not None:
            return await self._through(self._proxy, host, port, scheme)
        try:
            addresses = await self._addresses(host)
        except Refused:
            return False
        for address in addresses:
            if await self._connects_to(address, port):
                return True
        return False

    async def _through(self, proxy: Proxy, host: str, port: int, scheme: str) -> bool:
        """Whether the proxy connects to a host: by a tunnel that is not used, or by the head of its front page."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        asked = f"CONNECT {place}" if scheme == "https" else f"HEAD http://{place}/"
        head = [f"{asked} HTTP/1.1", f"Host: {place}", f"User-Agent: {self._settings.user_agent}"]
        if proxy.login:
            head.append(f"Proxy-Authorization: {proxy.login}")
        writer, status = None, 0
        with suppress(OSError, ValueError, IndexError):  # a time-out is one
            async with asyncio.timeout(self._settings.connect_s + self._settings.stall_s):
                reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
                writer.write("\r\n".join([*head, "Connection: close", "", ""]).encode())
                status = int((await reader.readline()).split()[1])
        if writer is not None:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
        self.hopeless = status == 407 or (writer is None and not self._witnesses)
        return status == 200 if scheme == "https" else bool(status) and status not in GATEWAY

    async def _addresses(self, host: str) -> tuple[str, ...]:
        return (host,) if _is_address(host) else await self._resolver.addresses_now(host)

    async def _connects_to(self, address: str, port: int) -> bool:
        if not self._settings.allow_private_addresses and not is_public(address):
            return False
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            try:
                async with asyncio.timeout(self._settings.connect_s):
                    await asyncio.get_running_loop().sock_connect(sock, (address, port))
            except OSError:  # a time-out is one
                return False
        return True


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
