"""Finds a JavaScript runtime that yt-dlp can use: without one YouTube gives no more than still pictures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

__all__ = ["found", "sentence"]

_KNOWN: Sequence[tuple[str, str, tuple[str, ...], str, tuple[int, ...]]] = (
    ("deno", "deno", ("--version",), r"^deno (\S+)", (2, 3, 0)),
    ("node", "node", ("--version",), r"^v(\S+)", (22, 0, 0)),
    ("bun", "bun", ("--version",), r"^(\d\S*)", (1, 2, 11)),
    ("quickjs", "qjs", ("--help",), r"^QuickJS(?:-ng)?\s+version\s+(\S+)", (0,)),
)
"""Name, program, how it is asked for its version, where that stands in the answer, and the least that will do: as
``yt_dlp/utils/_jsruntime.py`` has them. QuickJS counts years or versions, and each of its versions will do."""
_LONGEST_S = 10.0


@cache
def found() -> tuple[str, str]:
    """Name and version of a runtime, and those that are there and too old, in words; either may be empty."""
    old = []
    for name, program, args, pattern, least in _KNOWN:
        version = _version(program, args, pattern)
        if not version:
            continue
        if tuple(map(int, re.findall(r"\d+", version)[:3])) >= least:
            return f"{name} {version}", ""
        old.append(f"{name} {version} is too old, {'.'.join(map(str, least))} is the least")
    return "", "; ".join(old)


def sentence() -> str:
    """Say which runtime was found, or what is missing without one and what to type."""
    name, old = found()
    if name:
        return f"Video sites are asked with the JavaScript runtime {name}."
    return (
        f"No JavaScript runtime was found{f' ({old})' if old else ''}. YouTube gives no video without one (reason "
        "no_runtime): pip install deno. Other sites may do."
    )


def _version(program: str, args: Sequence[str], pattern: str) -> str:
    own = Path(sysconfig.get_path("scripts"), program)
    path = str(own) if own.is_file() else shutil.which(program)
    if path is None:
        return ""
    try:
        ran = subprocess.run([path, *args], capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(pattern, ran.stdout + ran.stderr, re.MULTILINE)
    return match[1] if match else ""
