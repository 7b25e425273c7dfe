"""How the crawler behaves towards strangers and towards this machine."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from gristmill.spec.host_rule import HostRule

__all__ = ["GATEWAY", "PROXY_LOGIN", "CrawlSettings", "Proxy"]

MIB = 1 << 20
AGENT = "Gristmill"
VERSION = "0.1"
GATEWAY = frozenset({407, 502, 503, 504})
"""What a proxy says in its own name. To plain http the server may have said it as well."""
PROXY_LOGIN = "GRISTMILL_PROXY_LOGIN"
"""The variable of the environment that holds a proxy's ``user:password``, where its URL has none."""

_TEMPLATE = re.compile(r"https?://[^/?#{}]+[/?](?:(?!\{url\}).)*\{url\}(?:(?!\{url\}).)*")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy through which everything is asked."""

    host: str
    port: int
    login: str = field(repr=False)
    """What its ``Proxy-Authorization`` header says; empty for none."""

    @classmethod
    def of(cls, url: str) -> Proxy:
        """From ``http://[USER:PASSWORD@]HOST[:PORT]``; the login may be in the environment instead.

        Raises:
            ValueError: It is none. The text does not quote it: a password may be in it.
        """
        expected = "proxy must be http://HOST:PORT, with USER:PASSWORD@ before the host if it wants them"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 80
        except ValueError as err:
            raise ValueError(expected) from err.with_traceback(None)
        more = parts.path.strip("/") or parts.query or parts.fragment
        if parts.scheme != "http" or not host or more or not (url.isascii() and url.isprintable()):
            raise ValueError(expected)
        login = os.environ.get(PROXY_LOGIN, "")
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(host, port, "Basic " + b64encode(login.encode()).decode() if login else "")

    @property
    def text(self) -> str:
        """Its URL, without a login."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlSettings:
    """Limits, politeness and trust of one crawler. The defaults suit still images.

    Sizes are bytes, times are seconds. Limits on time hold for one try of one URL: its redirects and
    its body included, waiting for our own turn excluded. A URL as a whole is therefore bounded by
    ``tries * total_s`` of asking, plus back-off and the pauses its host asked for, which
    ``max_host_pause_s`` bounds.
    """

    in_flight: int = 256
    """Requests under way at once in this process."""
    in_flight_slow: int = 1024
    """Requests beside those in flight whose servers keep us waiting: each gives up its place among those in
    flight after ``slow_after_s``, so that dead and slow hosts do not hold up the others."""
    slow_after_s: float = 2.0
    """A request that has brought less than 8 kB a second by then counts as slow."""
    per_host: int = 6
    """Connections to one host at once. Six is what browsers open over HTTP/1.1, so it is what servers
    and their abuse limits are sized for."""
    hosts: tuple[HostRule, ...] = ()
    """What single hosts ask of those who crawl them."""
    bytes_in_memory: int = 64 * MIB
    """Bodies received and not yet consumed, in this process. May be overdrawn by one body at a time."""

    total_s: float = 30.0
    connect_s: float = 5.0
    """TCP and TLS handshakes together, of all the host's addresses."""
    stall_s: float = 10.0
    """The head of an answer, once the connection stands, and the next bytes of its body must come within this time.
    The head may take twice as long when a host that has answered nothing yet is asked again, and three times as long
    as a host's answers have lately taken."""
    min_rate_bytes_s: int = 1000
    """A body slower than this over ``min_rate_window_s`` is given up as stalled."""
    min_rate_window_s: float = 10.0
    max_body_bytes: int = 32 * MIB
    """Of the body as sent, and again of the body after decompression."""
    large_bytes: int = 0
    """A larger body goes to a file, if the crawler was told where; 0: all stay in memory."""
    max_redirects: int = 5

    tries: int = 3
    """One request and two more for what may heal: 5xx, 429, time-outs, resets, short bodies."""
    backoff_s: float = 0.5
    """Wait before the second try; doubles with each further one, times a random 0.5 to 1.5."""
    max_retry_after_s: float = 60.0
    """A host that asks for a longer ``Retry-After`` is left alone for good in this crawl."""
    max_host_pause_s: float = 300.0
    """Pauses that one host may ask for in a row, without one good answer in between, before the rest
    of its URLs is given up unasked. It keeps a host that answers 429 to everything from holding a run."""

    host_failures: int = 6
    """Failures in a row without any answer (refused, timed out, stalled, reset, TLS) after which the rest of a
    host's URLs is given up unasked, if they go on for ``host_patience_s``. 0: no host is ever given up so."""
    host_patience_s: float = 10.0
    """How long a host may go on failing; six times as long if it has answered before."""
    host_stalls: int = 3
    """A host that has answered nothing is given up, too, once its requests have waited in vain for so many times
    ``stall_s``, added up: three that stall side by side say what three tries of one would. 0 is never."""
    host_memory_s: float = 300.0
    """How long a host that was given up is left alone, and how long its failures are remembered."""

    breaker_hosts: int = 32
    """So many different hosts failing in a row, without one answer from anybody, may mean that our own network
    is down: hosts that answered lately are then connected to, and if none can be reached, the run stops instead
    of recording dead links. 0 is never."""
    breaker_patience_s: float = 60.0
    """How long to wait for our network to come back before the run stops."""
    breaker_name: str = "example.com"
    """A host name that always exists (RFC 2606); looked up, not asked, where no host has answered yet. Empty: none is
    looked up, and in doubt the crawl stops."""

    contact: str | None = None
    """A URL or mail address, sent with the user agent, for those who want to complain."""
    respect_opt_out: bool = True
    opt_out_directives: tuple[str, ...] = (
        "noai",
        "noimageai",
        "noml",
        "noindex",
        "noimageindex",
        "none",
        "tdm-reservation=1",
        "train-ai=n",
        "train-genai=n",
        "ai=n",
    )

    robots: bool = False
    """Ask for each origin's robots.txt (RFC 9309) first, and leave alone what it disallows to us or to all."""
    tdmrep: bool = False
    """Ask for each origin's ``/.well-known/tdmrep.json`` (W3C TDM Reservation Protocol) first; what it reserves
    counts as opted out."""
    ai_txt: bool = False
    """Ask for each origin's ``/ai.txt`` (Spawning) first; what it disallows to us or to all counts as opted out."""
    max_crawl_delay_s: float = 30.0
    """The longest ``Crawl-delay`` of a robots.txt that is obeyed; a longer one counts as this."""

    mirror: str | None = None
    """Where to ask for a URL that is gone (404, 410, no such name): a URL with ``{url}`` in it, for example
    ``https://web.archive.org/web/2023id_/{url}``. In a query it is put percent-encoded. What comes from there
    is marked with the mirror's host as ``via``."""
    mirror_per_host: int = 1
    """Requests to the mirror at once, in this process."""
    mirror_per_second: float = 1.0
    """Requests to the mirror a second, in this process."""

    proxy: str | None = field(default=None, repr=False)
    """An HTTP proxy through which everything is asked: ``http://[USER:PASSWORD@]HOST[:PORT]``. It looks names up and
    connects, so that which address is asked is not seen here: only what a URL says literally, and names that this
    machine finds as well, are checked."""
    verify_tls: bool = True
    allow_private_addresses: bool = False
    """For tests and intranets: private addresses, and with them any port."""
    allowed_ports: tuple[int, ...] = (80, 443, 8080, 8443)

    dns_ttl_s: float = 300.0
    """How long names, and the absence of names, are remembered."""
    dns_failure_ttl_s: float = 30.0
    """How long a failed lookup is remembered, so that a host's other URLs need not wait for it."""
    dns_lookups: int = 32
    """Lookups at once. More makes common resolvers drop queries, and every drop costs seconds."""
    dns_timeout_s: float = 5.0
    dns_tries: int = 2

    def __post_init__(self) -> None:
        counts = (
            "in_flight",
            "in_flight_slow",
            "per_host",
            "mirror_per_host",
            "bytes_in_memory",
            "max_body_bytes",
            "tries",
        )
        times = ("total_s", "connect_s", "stall_s", "min_rate_window_s", "dns_timeout_s", "slow_after_s")
        for name in (*counts, "dns_lookups", "mirror_per_host"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in times:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {getattr(self, name)}")
        for name in (
            "host_failures",
            "host_patience_s",
            "host_stalls",
            "host_memory_s",
            "breaker_hosts",
            "breaker_patience_s",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not isinstance(self.hosts, tuple) or not all(isinstance(rule, HostRule) for rule in self.hosts):
            raise ValueError("hosts are rules of the recipe, and are not set")
        if self.mirror_per_second <= 0:
            raise ValueError(f"mirror_per_second must be more than 0, not {self.mirror_per_second}")
        if self.mirror is not None and not _TEMPLATE.fullmatch(self.mirror):
            raise ValueError("mirror must be an http or https URL with one {url} in its path or query")
        if self.contact is not None and not (self.contact.isascii() and self.contact.isprintable()):
            raise ValueError("contact must be printable ASCII: it becomes part of an HTTP header")
        if self.proxy is not None:
            Proxy.of(self.proxy)

    @property
    def user_agent(self) -> str:
        """The honest name under which every request is made."""
        return f"{AGENT}/{VERSION} (+{self.contact})" if self.contact else f"{AGENT}/{VERSION}"

    def rule_of(self, key: str) -> HostRule | None:
        """Say what is asked of those who crawl a host; ``key`` is its :attr:`gristmill.crawl.guard.Target.key`."""
        return next((rule for rule in self.hosts if rule.host == key), None)

    @property
    def agent_names(self) -> frozenset[str]:
        """Names, in lower case, by which an agent-named directive means us."""
        return frozenset({AGENT.lower()})
