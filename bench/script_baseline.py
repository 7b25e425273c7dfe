"""Baseline (b): how the published download scripts work, written from their description.

One asyncio process: aiohttp with 512 requests at once and ten seconds for each; every image fully decoded by Pillow,
converted to RGB, shrunk by bicubic interpolation to a shorter side of at most 336 px, encoded as JPEG at Pillow's
default quality (75), turned to base64; a list of dicts in memory; one pickle at the end.
"""

import asyncio
import base64
import io
import pickle
import sys

import aiohttp
import pyarrow.parquet as pq
from PIL import Image

AT_ONCE = 512
TIMEOUT_S = 10
SHORT_SIDE_PX = 336


def shrunk(body: bytes) -> str:
    """The image as a base64 JPEG whose shorter side is at most 336 px."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    short_px = min(image.size)
    if short_px > SHORT_SIDE_PX:
        ratio = SHORT_SIDE_PX / short_px
        size = (int(image.width * ratio + 1e-6), int(image.height * ratio + 1e-6))
        image = image.resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


async def fetched(
    session: aiohttp.ClientSession, gate: asyncio.Semaphore, url: str, text: str
) -> dict[str, str] | None:
    async with gate:
        try:
            async with session.get(url) as response:
                if response.status != 200:
                    return None
                return {"url": url, "text": text, "image": shrunk(await response.read())}
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


async def crawl(rows: list[dict[str, str]], out: str) -> int:
    gate = asyncio.Semaphore(AT_ONCE)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        results = await asyncio.gather(*(fetched(session, gate, row["url"], row["text"]) for row in rows))
    kept = [result for result in results if result is not None]
    with open(out, "wb") as file:
        pickle.dump(kept, file)
    return len(kept)


if __name__ == "__main__":
    print(asyncio.run(crawl(pq.read_table(sys.argv[1]).to_pylist(), sys.argv[2])))
