"""How video sites are asked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

__all__ = ["SiteSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """Limits of one video, and what is passed on to yt-dlp. Sizes are bytes, times are seconds."""

    height_px: int = 480
    """The best that is no higher is taken; what is higher only where there is nothing else."""
    audio: bool = True
    """With sound, which may come in a file of its own; else the picture alone is asked for."""
    max_body_bytes: int = 2 << 30
    total_s: float = 1800.0
    """For one video, from its page to its last byte."""
    stall_s: float = 120.0
    """A child that has told of no progress for so long is ended."""
    rate_bytes_s: int = 0
    """Most bytes a second of one download; 0 is as fast as it comes."""
    sleep_s: float = 1.0
    """Between two requests to a site, and between two videos."""
    cookies: str | None = None
    """A file of cookies in Netscape's format. It is read, and never written to."""
    proxy: str | None = field(default=None, repr=False)
    """As yt-dlp takes it: ``http://``, ``socks5://`` and others, perhaps with a login."""
    verify_tls: bool = True
    allow_private_addresses: bool = False

    def __post_init__(self) -> None:
        for name in ("height_px", "max_body_bytes", "total_s", "stall_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")
        for name in ("rate_bytes_s", "sleep_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.cookies is not None and not os.access(self.cookies, os.R_OK):
            raise ValueError(f"there is no file of cookies {self.cookies} that can be read")
