"""Commands as typed: in this process, which costs less, or by the real entry point where that is the point."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from gristmill.cli.main import main

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
WIDE = {"COLUMNS": "200"}
RUNNING = ("crawl_command", "import_command", "jobs", "mix_command", "retry_command")
"""Files of the commands that start workers."""


def gristmill(
    *words: object, code: int | None = 0, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command in this process: ``main`` with these words, its output and its exit code (any, if None).

    It starts no workers unless it is told to.
    """
    typed = ["gristmill", *map(str, words)]
    out, told, ended = _stream(), _stream(), 0
    collecting = gc.get_threshold()
    with (
        contextlib.ExitStack() as patched,
        mock.patch.object(sys, "argv", typed),
        mock.patch.dict(os.environ, {**WIDE, **environment}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(told),
        contextlib.chdir(cwd or Path.cwd()),
    ):
        for file in RUNNING:
            patched.enter_context(mock.patch(f"gristmill.cli.{file}.default_workers", no_workers))
        try:
            main()
        except SystemExit as end:
            ended = end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            gc.set_threshold(*collecting)
    return checked(subprocess.CompletedProcess(typed, ended, _text(out), _text(told)), code)


def no_workers(on: str = "") -> int:
    return 0


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _text(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode()


def by_entry_point(
    *words: object, code: int = 0, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own."""
    done = subprocess.run(
        [GRISTMILL, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=cwd,
        env={**os.environ, **WIDE, **environment},
        check=False,
    )
    return checked(done, code)


def checked(done: subprocess.CompletedProcess[str], code: int | None) -> subprocess.CompletedProcess[str]:
    assert code in (None, done.returncode), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done
