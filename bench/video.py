"""Cutting and looking into videos: against Debian's ffmpeg, called for each clip, and OpenCV, which reads all."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import psutil

from bench.figure import Figure, Options, spread
from bench.paths import say
from gristmill.media.errors import Undecodable
from gristmill.media.video.pool import VideoPool
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import FileBody
from gristmill.spec.cut import Cut

LONG_S, CLIPS, CLIP_S = 300, 10, 10
SHORT_CLIPS, FRAMES = 200, 8
GOAL_BYTES = 500_000_000


def video(files: Sequence[Path], options: Options) -> list[Figure]:
    """Ten clips of one video, a single clip, eight frames of each of 200 clips, and memory at 1080p."""
    if shutil.which("ffmpeg") is None:
        raise SystemExit("video: no ffmpeg: install it (apt-get install ffmpeg)")
    rounds = max(1, options.rounds)
    with TemporaryDirectory() as name:
        folder = Path(name)
        say("video: making videos")
        long, wide = folder / "long.mp4", folder / "wide.mp4"
        _make(long, "1280x720", LONG_S)
        _make(wide, "1920x1080", 30)
        starts = [n * LONG_S / CLIPS + 7.3 for n in range(CLIPS)]
        ten, ten_same, one = [], [], []
        for number in range(rounds):
            say(f"video: round {number + 1} of {rounds}")
            ours_s, _ = asyncio.run(_ours(long, starts, folder))
            theirs_s = _ffmpeg(long, starts, folder)
            same_s = _ffmpeg(long, starts, folder, "-preset", "veryfast", "-crf", "20")
            ten.append(theirs_s / ours_s)
            ten_same.append(same_s / ours_s)
            ours_one_s, _ = asyncio.run(_ours(long, starts[5:6], folder))
            one.append(_ffmpeg(long, starts[5:6], folder) / ours_one_s)
            said = f"  ten: ours {ours_s:.2f} s, ffmpeg {theirs_s:.2f} s, at our preset {same_s:.2f} s"
            say(f"{said}; one: {one[-1]:.2f} times")
        clips = _short(long, folder)
        looked = [_looked(clips) for _ in range(rounds)]
        _, peak_bytes = asyncio.run(_ours(wide, [0.5 + 2 * n for n in range(10)], folder))
    return [
        Figure(
            name="video: ten clips of 10 s, 5 minutes of 720p, against ten calls of ffmpeg (i)",
            value=spread(ten),
            goal="at least 2",
        ),
        Figure(name="video: the same, ffmpeg at our preset and quality", value=spread(ten_same)),
        Figure(name="video: a single clip, against ffmpeg", value=spread(one), goal="at least 1"),
        Figure(
            name=f"video: {FRAMES} frames of {SHORT_CLIPS} clips, against OpenCV that reads all",
            value=spread(looked),
            goal="at least 2",
        ),
        Figure(
            name="video: peak RSS of a child, ten clips of 1080p that overlap",
            value=f"{peak_bytes / 1e6:.0f} MB",
            goal="under 500 MB",
            raw={"bytes": peak_bytes},
        ),
    ]


def _make(path: Path, size: str, seconds: int) -> None:
    """A video that moves and has noise, with sound."""
    made = f"testsrc2=size={size}:rate=30:duration={seconds},noise=alls=12:allf=t"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        made,
        "-f",
        "lavfi",
        "-i",
        f"sine=440:duration={seconds}",
    ]
    subprocess.run([*command, "-preset", "veryfast", "-pix_fmt", "yuv420p", str(path)], check=True)


async def _ours(path: Path, starts: Sequence[float], folder: Path) -> tuple[float, int]:
    """Seconds, starting the child included, and the most memory that it had."""
    began = time.perf_counter()
    body = FileBody(path=path, size_bytes=path.stat().st_size)
    peak_bytes = 0
    async with VideoPool(VideoSettings(), processes=1, deadline_s=120) as pool:
        child = psutil.Process(next(iter(pool.pids())))

        async def watch() -> None:
            nonlocal peak_bytes
            while True:
                peak_bytes = max(peak_bytes, child.memory_info().rss)
                await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        async for _, clip in pool.clips(body, [Cut(start, start + CLIP_S) for start in starts], folder):
            if isinstance(clip, Undecodable):
                raise RuntimeError(f"video: {clip}")
            clip.body.path.unlink()
        watching.cancel()
    return time.perf_counter() - began, peak_bytes


def _ffmpeg(path: Path, starts: Sequence[float], folder: Path, *settings: str) -> float:
    began = time.perf_counter()
    for start in starts:
        seek = ["ffmpeg", "-v", "error", "-y", "-ss", str(start), "-i", str(path), "-t", str(CLIP_S)]
        subprocess.run([*seek, *settings, str(folder / "theirs.mp4")], check=True)
    return time.perf_counter() - began


def _short(long: Path, folder: Path) -> list[Path]:
    """Clips of a second and a half, as x264 makes them by default: B-frames, one key frame."""
    made = []
    for number in range(SHORT_CLIPS):
        path = folder / f"short{number}.mp4"
        cut = ["ffmpeg", "-v", "error", "-ss", str(number * 1.4), "-i", str(long), "-t", "1.4", "-an"]
        subprocess.run([*cut, "-vf", "scale=640:360", "-preset", "fast", str(path)], check=True)
        made.append(path)
    return made


def _looked(clips: Sequence[Path]) -> float:
    """How many times as fast as reading all frames and keeping eight."""
    began = time.perf_counter()
    for path in clips:
        reader = cv2.VideoCapture(str(path))
        count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
        wanted = {round(n * (count - 1) / (FRAMES - 1)) for n in range(FRAMES)}
        for number in range(count):
            frame = reader.read()[1]
            if number in wanted:
                cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 90])
        reader.release()
    theirs_s = time.perf_counter() - began

    async def ours() -> None:
        async with VideoPool(VideoSettings(), processes=2, deadline_s=60) as pool:
            bodies = [FileBody(path=path, size_bytes=path.stat().st_size) for path in clips]
            await asyncio.gather(*(pool.frames_at(body, FRAMES) for body in bodies))

    began = time.perf_counter()
    asyncio.run(ours())
    return theirs_s / (time.perf_counter() - began)
