"""The real decoder pool, watched: what one file makes of it, and what processor time and memory its child takes."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from blocking_pool import BlockingPool
from numpy.typing import NDArray
from PIL import Image

from gristmill.media.errors import Undecodable
from gristmill.media.settings import ImageSettings
from gristmill.spec.reasons import Reason

LOSSLESS = {"format": "png", "resize_mode": "no"}
SIDES = 2


@dataclass(frozen=True)
class Outcome:
    """What became of ``name``: a picture (PNG or JPEG bytes) or a reason; what it cost its child."""

    name: str
    kind: str
    reason: Reason | None
    detail: str
    picture: bytes
    mpx: float
    cpu_s: float
    peak_mib: float


def outcomes(
    files: Iterable[Any], then: Callable[[Any, Outcome], Any] | None = None, **settings: Any
) -> list[Any]:
    """Put each file (name, kind, body) through a child; ``then`` makes something of it while others are in work."""
    files = list(files)

    def side(number: int) -> list[Any]:
        with BlockingPool(ImageSettings(**settings), processes=1, deadline_s=60) as pool:
            return [one(pool, each) for each in files[number::SIDES]]

    watched = then is None  # looking at a child's memory costs more than most pictures

    def one(pool: BlockingPool, file: Any) -> Any:
        outcome = _outcome(pool, file, watched)
        return then(file, outcome) if then else outcome

    with ThreadPoolExecutor(SIDES) as aux:
        return [made for part in aux.map(side, range(SIDES)) for made in part]


def _outcome(pool: BlockingPool, file: Any, watched: bool) -> Outcome:
    child = _pid(pool)
    cpu_s = _cpu_s(child)
    reason, detail, picture, mpx = None, "", b"", 0.0
    try:
        made = pool.transcode(file.body)
        picture, mpx = made.body, made.original_width_px * made.original_height_px / 1e6
    except Undecodable as err:
        reason, detail = err.reason, err.detail
    same = watched and _pid(pool) == child  # a child that was replaced has taken its figures with it
    return Outcome(
        name=file.name,
        kind=file.kind,
        reason=reason,
        detail=detail,
        picture=picture,
        mpx=mpx,
        cpu_s=_cpu_s(child) - cpu_s if same else 0,
        peak_mib=_peak_mib(child) if same else 0,
    )


def pixels(picture: bytes) -> NDArray[np.int16]:
    """Pixels of a stored picture, shape (height_px, width_px, 3)."""
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(np.int16)


def _pid(pool: BlockingPool) -> int:
    return next(iter(pool.pids()))


def _cpu_s(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _peak_mib(pid: int) -> float:
    """Peak of resident memory since the last call (Linux, proc(5): VmHWM and clear_refs)."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return 0.0
