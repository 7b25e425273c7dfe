"""From what a list or a ``Location`` header says to a URL that may be asked for, or a reason why not.

Normalisation follows the WHATWG URL Standard (https://url.spec.whatwg.org), so that a URL means here what it
means in a browser: control characters and blanks around it are stripped. Three deliberate differences: control
characters within refuse the URL instead of being dropped, a user name or password is dropped instead of sent,
and a trailing dot of a host is dropped.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote_to_bytes

import idna
from yarl import URL

from gristmill.crawl.addresses import is_public
from gristmill.crawl.settings import CrawlSettings
from gristmill.spec.reasons import Reason

__all__ = ["Refused", "Target", "join", "parse"]

MAX_URL_CHARS = 16_384
MOST_HOST_CHARS = 253
DEFAULT_PORTS = {"http": 80, "https": 443}

# Nine of ten URLs need no work. Hosts that could be numbers, and paths with dot segments, are not among them.
_PLAIN = re.compile(
    r"(https?)://((?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)+[a-z]{2,63})(?::([0-9]{1,4}))?"
    r"(/[A-Za-z0-9\-._~!$&'()*+,;=:@%/|]*)?(\?[A-Za-z0-9\-._~!$&()*+,;=:@%/?|\[\]]*)?"
)
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AROUND = "".join(map(chr, range(0x21)))
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f]")
_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)")
_PATH_SAFE = "/%!$&'()*+,;=:@-._~|[]\\"
_QUERY_SAFE = "/%!$&()*+,;=:@-._~|[]\\?`{}^"


class Refused(Exception):
    """An address that is not asked, with the reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Target:
    """A URL fit to be asked for. ``key`` names the host to be polite to: its name, and an unusual port."""

    scheme: str
    host: str
    port: int
    path: str
    """Path and query, percent-encoded, with a leading slash."""

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def key(self) -> str:
        """The host as far as politeness goes: http and https on their usual ports are one."""
        return self.host if self.port in {80, 443} else f"{self.host}:{self.port}"

    @property
    def text(self) -> str:
        """The whole URL, normalised."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def url(self) -> URL:
        """For the HTTP client, which must not encode it once more."""
        return URL(self.text, encoded=True)


def parse(url: str, settings: CrawlSettings) -> Target:
    """Normalise a URL and check everything that can be checked without a lookup; its host's rule is kept.

    Raises:
        Refused: ``BAD_URL``, ``BAD_SCHEME``, ``BAD_PORT``, or ``PRIVATE_ADDRESS`` for a literal address.
    """
    target = _parsed(url, settings)
    rule = settings.rule_of(target.key) if settings.hosts else None
    if rule is None:
        return target
    target = replace(target, path=rule.fitted(target.path))
    return replace(target, scheme="https", port=443) if rule.https and target.port == 80 else target


def _parsed(url: str, settings: CrawlSettings) -> Target:
    plain = _PLAIN.fullmatch(url) if len(url) <= MAX_URL_CHARS else None
    if plain is None or (plain[4] is not None and _DOT_SEGMENT.search(plain[4])):
        target = _normalise(url)
    else:
        scheme, host, port, path, query = plain.groups()
        target = Target(
            scheme, host, int(port) if port else DEFAULT_PORTS[scheme], (path or "/") + (query or "")
        )
        if len(host) > MOST_HOST_CHARS:
            raise Refused(Reason.BAD_URL, "the host name is too long")
    _check(target, settings)
    return target


def join(base: Target, location: str, settings: CrawlSettings) -> Target:
    """The target that a redirect from ``base`` to ``location`` (absolute or relative) means.

    Raises:
        Refused: As :func:`parse`.
    """
    location = location.strip(" \t\r\n").partition("#")[0]
    scheme = _SCHEME.match(location)
    if scheme is not None:
        return parse(location, settings)
    flat = location.partition("?")[0].replace("\\", "/") + "".join(location.partition("?")[1:])
    if flat.startswith("//"):
        return parse(f"{base.scheme}:{flat}", settings)
    origin = f"{base.scheme}://{base.authority}"
    path, mark, query = base.path.partition("?")
    if not flat:
        relative = path + mark + query
    elif flat.startswith("?"):
        relative = path + flat
    elif flat.startswith("/"):
        relative = flat
    else:
        relative = path.rpartition("/")[0] + "/" + flat
    return parse(origin + relative, settings)


def _check(target: Target, settings: CrawlSettings) -> None:
    if settings.allow_private_addresses:
        return
    if target.port not in settings.allowed_ports:
        allowed = ", ".join(map(str, settings.allowed_ports))
        raise Refused(
            Reason.BAD_PORT,
            f"port {target.port} is none of {allowed}; --allow-private-addresses asks your own hosts on any",
        )
    host = target.host
    if ":" in host or host[-1].isdigit():
        if not is_public(host):
            raise Refused(Reason.PRIVATE_ADDRESS, f"{host} is not a public address")
    elif host == "localhost" or host.endswith(".localhost"):
        raise Refused(Reason.PRIVATE_ADDRESS, f"{host} is this machine")


def _normalise(url: str) -> Target:
    url = url.strip(_AROUND)
    if not url:
        raise Refused(Reason.BAD_URL, "empty")
    if len(url) > MAX_URL_CHARS:
        raise Refused(Reason.BAD_URL, f"{len(url)} characters long")
    if _CONTROL.search(url):
        raise Refused(Reason.BAD_URL, "has a control character")
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    if match is None or scheme not in DEFAULT_PORTS:
        raise Refused(Reason.BAD_SCHEME, f"scheme {scheme!r} is not http or https")
    rest = url[match.end() :].partition("#")[0]
    before, mark, query = rest.partition("?")
    before = before.replace("\\", "/").lstrip("/")
    authority, slash, path = before.partition("/")
    host, port = _host_and_port(authority.rpartition("@")[2], scheme)
    return Target(
        scheme, host, port, _path(slash + path) + (mark + _encode(query, _QUERY_SAFE) if mark else "")
    )


def _encode(text: str, safe: str) -> str:
    try:
        # Surrogates are how the HTTP parser hands on bytes that are not UTF-8.
        return quote(text.encode("utf-8", "surrogateescape"), safe=safe)
    except UnicodeEncodeError as error:
        raise Refused(Reason.BAD_URL, "has a lone surrogate") from error


def _path(path: str) -> str:
    encoded = _encode(path, _PATH_SAFE) or "/"
    if not _DOT_SEGMENT.search(encoded):
        return encoded
    out: list[str] = []
    segments = encoded.split("/")[1:]
    for position, segment in enumerate(segments):
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            out = out[:-1]
        if dots not in {".", ".."}:
            out.append(segment)
        elif position == len(segments) - 1:
            out.append("")
    return "/" + "/".join(out)


def _host_and_port(text: str, scheme: str) -> tuple[str, int]:
    if text.startswith("["):
        literal, bracket, tail = text[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise Refused(Reason.BAD_URL, "the IPv6 address is not closed")
        host, port = _ipv6(literal), tail[1:]
    else:
        name, _, port = text.partition(":")
        host = _domain(name)
    if not port:
        return host, DEFAULT_PORTS[scheme]
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= 65535 and len(port) <= 6):
        raise Refused(Reason.BAD_URL, "the port is not a number up to 65535")
    return host, int(port)


def _ipv6(literal: str) -> str:
    try:
        packed = socket.inet_pton(socket.AF_INET6, literal)
    except (OSError, ValueError) as error:  # zone ids come here too: they name interfaces of this machine
        raise Refused(Reason.BAD_URL, "not an IPv6 address") from error
    return socket.inet_ntop(socket.AF_INET6, packed)


def _domain(name: str) -> str:
    if "%" in name:
        name = unquote_to_bytes(name.encode("utf-8", "replace")).decode("utf-8", "replace")
    if not name.isascii():
        if len(name) > MOST_HOST_CHARS:  # to encode a label takes time by the square of its length
            raise Refused(Reason.BAD_URL, "the host name is too long")
        name = _to_ascii(name)
    host = name.lower().removesuffix(".")
    labels = host.split(".")
    if _FORBIDDEN_IN_HOST.search(host):
        raise Refused(Reason.BAD_URL, "the host has a character that no host may have")
    if len(host) > MOST_HOST_CHARS or not all(0 < len(label) <= 63 for label in labels):
        raise Refused(Reason.BAD_URL, "the host name is empty, or a part of it is empty or too long")
    return _ipv4(labels) if _NUMBER.fullmatch(labels[-1]) else host


def _to_ascii(name: str) -> str:
    """UTS #46 mapping, which also turns circled and full-width digits and dots into plain ones."""
    try:
        labels = idna.uts46_remap(name, std3_rules=False, transitional=False).split(".")
    except idna.IDNAError as error:
        raise Refused(Reason.BAD_URL, "the host is not a domain name") from error
    return ".".join(label if label.isascii() else _label(label) for label in labels)


def _label(label: str) -> str:
    try:
        return idna.alabel(label).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        pass
    try:  # names such as emoji that browsers and registries allow, and IDNA 2008 does not
        return "xn--" + label.encode("punycode").decode("ascii")
    except UnicodeError as error:
        raise Refused(Reason.BAD_URL, "the host is not a domain name") from error


def _ipv4(labels: list[str]) -> str:
    """Decimal, octal, hexadecimal and short spellings, as browsers and ``inet_aton`` read them."""
    numbers = [_ipv4_number(label) for label in labels]
    last = numbers.pop()
    if len(numbers) > 3 or any(n > 255 for n in numbers) or last >= 256 ** (4 - len(numbers)):
        raise Refused(Reason.BAD_URL, "the host looks like an IPv4 address and is none")
    value = last + sum(n << (8 * (3 - i)) for i, n in enumerate(numbers))
    return socket.inet_ntoa(value.to_bytes(4))


def _ipv4_number(label: str) -> int:
    try:
        if label[:2] in {"0x", "0X"}:
            return int(label[2:] or "0", 16)
        return int(label, 8 if len(label) > 1 and label[0] == "0" else 10)
    except ValueError as error:
        raise Refused(Reason.BAD_URL, "the host looks like an IPv4 address and is none") from error
