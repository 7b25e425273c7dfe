"""kill -9 at random instants while clips are cut: the shards are those of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from clipped_world import write_clipped
from small_world import check_final_names, tree_of

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))


@pytest.mark.kill
@pytest.mark.timeout(900)
@pytest.mark.parametrize("store", ["mp4", "frames"])
def test_killed_and_killed_again(tmp_path, store):
    words = [GRISTMILL, *write_clipped(tmp_path, videos=3, clips=40, frames=400), "--workers", "2"]
    settings = ("rows.part_rows=45", "pack.shard_samples=25", f"clip.store={store}", "clip.frame_rate=25")
    words += [word for text in settings for word in ("--set", text)]
    began = time.monotonic()
    alone = subprocess.run([*words, "--out", tmp_path / "alone"], capture_output=True, check=False)
    assert alone.returncode in (0, 3), alone.stderr
    whole_s = time.monotonic() - began
    rng = random.Random(store)
    out = tmp_path / "killed"
    kills = 0
    for _ in range(60):
        process = subprocess.Popen(
            [*words, "--out", out],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(whole_s * (0.2 + 0.3 * rng.random() + kills / 20))
        if process.poll() is not None:
            if kills:
                break
            whole_s /= 2  # the machine is less busy than it was: from the beginning, and killed earlier
            shutil.rmtree(out)
            continue
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.1)  # workers die with their parent
        kills += 1
        check_final_names(out / "clipped")
    assert process.returncode == alone.returncode
    assert kills >= 1
    assert tree_of(out / "clipped") == tree_of(tmp_path / "alone" / "clipped")
    assert not list((out / "clipped" / ".gristmill").glob("scratch/*/*"))  # nothing is left of clips
