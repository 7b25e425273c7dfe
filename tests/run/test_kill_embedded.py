"""kill -9 at random instants while pictures are taken out of rows: the shards are those of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from small_world import check_final_names, tree_of

from gristmill.testing.rows_with_pictures import write_m3it

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
ROWS = 400


def command(source: Path, out: Path) -> list[str]:
    settings = ("lines.part_rows=25", "pack.shard_samples=60")
    return [
        *(GRISTMILL, "run", "m3it-ivqa", "--out", str(out), "--source", f"annotations={source}"),
        *("--workers", "2", *(word for text in settings for word in ("--set", text))),
    ]


@pytest.mark.kill
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2))
def test_killed_and_killed_again(tmp_path, seed):
    write_m3it(tmp_path / "copy", "m3it-ivqa", ROWS)
    began = time.monotonic()
    alone = subprocess.run(command(tmp_path / "copy", tmp_path / "alone"), capture_output=True, check=False)
    assert alone.returncode == 0, alone.stderr
    whole_s = time.monotonic() - began
    rng = random.Random(seed)
    out = tmp_path / "killed"
    kills = 0
    for _ in range(60):
        process = subprocess.Popen(
            command(tmp_path / "copy", out),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with suppress(subprocess.TimeoutExpired):
            # within the time of an undisturbed run, and later each time: one of them must come to its end
            process.wait(whole_s * (0.25 + 0.4 * rng.random() + max(0, kills - 4) / 10))
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.1)  # workers die with their parent
        kills += 1
        check_final_names(out / "m3it-ivqa")
    assert process.returncode == 0
    assert kills >= 1
    assert tree_of(out / "m3it-ivqa") == tree_of(tmp_path / "alone" / "m3it-ivqa")
