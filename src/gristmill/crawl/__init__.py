"""Asking strangers for URLs, politely and safely, each URL with exactly one outcome."""

from gristmill.crawl.answer import Answer
from gristmill.crawl.crawler import Crawler, Stopped
from gristmill.crawl.dns import Resolver
from gristmill.crawl.loop import run
from gristmill.crawl.settings import CrawlSettings

__all__ = ["Answer", "CrawlSettings", "Crawler", "Resolver", "Stopped", "run"]
