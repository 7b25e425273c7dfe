"""Asking strangers for URLs, politely and safely, each URL with exactly one outcome; ``sites/`` asks for videos."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill.crawl.answer import Answer
    from gristmill.crawl.crawler import Crawler, CrawlStopped
    from gristmill.crawl.dns import Resolver
    from gristmill.crawl.loop import run
    from gristmill.crawl.settings import CrawlSettings

__all__ = ["Answer", "CrawlSettings", "CrawlStopped", "Crawler", "Resolver", "run"]

_HOMES = {
    "Answer": "answer",
    "CrawlSettings": "settings",
    "Crawler": "crawler",
    "Resolver": "dns",
    "CrawlStopped": "crawler",
    "run": "loop",
}


def __getattr__(name: str) -> Any:
    """Load a name's home when it is first asked for: settings are wanted where the HTTP client is not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
