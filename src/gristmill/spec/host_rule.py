"""What one host asks of those who crawl it, as data of a recipe that knows its hosts."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["HostRule"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HostRule:
    """Says how one host wants to be asked; the crawler keeps to it, whatever else is set.

    Attributes:
        host: Its name, as in ``upload.wikimedia.org``; an unusual port belongs to it.
        connections: Most connections to it at once, of all workers of a run together.
        bits_per_s: Most bits a second from it over ten seconds, of all workers of a run together. None: any.
        needs_contact: It refuses those whose user agent does not say whom to write to.
        https: It is asked by https, whatever a URL says.
        width: Pattern that is looked for in a URL's path; its group is the width, in pixels, that a picture is wanted
            in. Empty: its URLs have none.
        widths: Those that it has. Where another is wanted, the next larger is asked for, or the largest.
        permanent: Statuses, each with a pattern of paths, after which the same would be answered again. An answer
            that says when to ask again (``Retry-After``) is none of them.
    """

    host: str
    connections: int
    bits_per_s: int | None = None
    needs_contact: bool = False
    https: bool = False
    width: str = ""
    widths: tuple[int, ...] = ()
    permanent: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        if self.connections < 1 or (self.bits_per_s is not None and self.bits_per_s < 1):
            raise ValueError(f"{self.host}: connections and bits_per_s must be at least 1")
        if bool(self.width) != bool(self.widths) or re.compile(self.width).groups != bool(self.width):
            raise ValueError(f"{self.host}: width is a pattern with one group, and goes with widths")

    def __repr__(self) -> str:
        """A line for ``gristmill show``."""
        said = [f"{self.connections} connection{'s' * (self.connections != 1)} in all"]
        if self.bits_per_s is not None:
            said.append(f"{self.bits_per_s / 1e6:g} Mbit/s in all")
        if self.needs_contact:
            said.append("only with a contact")
        if self.https:
            said.append("by https")
        if self.widths:
            said.append(f"widths {' '.join(map(str, self.widths))}")
        said += [f"{status} of {path} is final" for status, path in self.permanent]
        return f"{self.host}: {', '.join(said)}"

    def fitted(self, path: str) -> str:
        """A URL's path, with a width that the host has in place of one that it has not."""
        found = re.search(self.width, path) if self.width else None
        if found is None:
            return path
        wanted = int(found[1])
        width = min((w for w in self.widths if w >= wanted), default=max(self.widths))
        return f"{path[: found.start(1)]}{width}{path[found.end(1) :]}"

    def is_final(self, status: int | None, path: str) -> bool:
        """Say whether another try would be answered with the same status."""
        return any(status == one and re.search(paths, path) for one, paths in self.permanent)
