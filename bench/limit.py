"""Baseline (c), the limit: the codec alone plus the fetch alone, each on both cores, over the same URLs.

``python -m bench.limit codec URLS`` holds the bodies in memory and runs the tool's own transcoding, without the
perceptual hash, in two processes of one thread. ``python -m bench.limit fetch URLS`` fetches every URL with aiohttp
on uvloop in two processes and throws the bodies away. Each prints its wall time in seconds, measured between the
moment when both processes stand ready and the moment when both are done.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import uvloop

from bench.paths import CORPUS
from bench.urls import read_urls

PROCESSES = 2
IN_FLIGHT = 256


def codec(urls: list[str], ready: Callable[[], object]) -> None:
    """Transcode the body of each URL, read beforehand from the corpus."""
    import cv2

    from gristmill.media.image import transcode
    from gristmill.media.settings import ImageSettings

    cv2.setNumThreads(1)
    settings = ImageSettings(phash=False)
    names = [Path(urlsplit(url).path).name for url in urls]
    bodies = {name: (CORPUS / "files" / name).read_bytes() for name in set(names)}
    transcode(bodies[names[0]], settings)
    ready()
    for name in names:
        transcode(bodies[name], settings)


def fetch(urls: list[str], ready: Callable[[], object]) -> None:
    """Fetch each URL and drop its body."""
    ready()
    uvloop.run(_fetch_all(urls))


async def _fetch_all(urls: list[str]) -> None:
    waiting = iter(urls)
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for url in waiting:
                async with session.get(url) as response:
                    response.raise_for_status()
                    await response.read()

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def _process(job: str, urls: list[str], start: Barrier, end: Barrier) -> None:
    {"codec": codec, "fetch": fetch}[job](urls, start.wait)
    end.wait()


def main() -> None:
    job, urls = sys.argv[1], read_urls(Path(sys.argv[2]))
    context = multiprocessing.get_context("spawn")
    start, end = context.Barrier(PROCESSES + 1), context.Barrier(PROCESSES + 1)
    children = [
        context.Process(target=_process, args=(job, urls[number::PROCESSES], start, end))
        for number in range(PROCESSES)
    ]
    for child in children:
        child.start()
    start.wait(timeout=300)
    started_s = time.monotonic()
    end.wait(timeout=3600)
    print(time.monotonic() - started_s)
    for child in children:
        child.join()


if __name__ == "__main__":
    main()
