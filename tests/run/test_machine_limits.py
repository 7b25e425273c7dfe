"""A full disk, a read-only folder: a sentence, nothing lost, and the same command goes on."""

import os
import resource
import subprocess
from pathlib import Path

import pytest
from small_world import check_final_names, run_here, temporaries, tree_of

from gristmill.spec.errors import MachineError


def mount(folder: Path, *options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "size=200k"):
        pytest.skip("a small file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def run_until_complete(small, folder: Path, disk: Path) -> list[str]:
    """Give the disk a little more after each refusal; returns what was said."""
    said = []
    for size_kb in range(200, 4000, 150):
        remount(disk, f"size={size_kb}k")
        try:
            assert run_here(small.place, folder)[0].complete
        except MachineError as err:
            said.append(str(err))
            check_final_names(folder)
            assert temporaries(folder) == []
        else:
            return said
    raise AssertionError("never complete")


@pytest.mark.slow
def test_a_disk_that_is_full_again_and_again(small, web, small_disk):
    folder = small_disk / "out"
    said = run_until_complete(small, folder, small_disk)
    assert len(said) >= 4
    assert all("the disk is full. Nothing finished is lost" in sentence for sentence in said)
    assert tree_of(folder) == small.shards
    assert sum(hits - 1 for hits in web.hits.values()) <= 20 * len(said)


def test_a_full_disk_under_worker_processes(small, web, small_disk):
    with pytest.raises(MachineError, match="the disk is full"):
        run_here(small.place, small_disk / "out", workers=1)
    check_final_names(small_disk / "out")
    remount(small_disk, "size=8m")
    assert run_here(small.place, small_disk / "out")[0].complete
    assert tree_of(small_disk / "out") == small.shards


def test_a_read_only_file_system(small, web, small_disk):
    remount(small_disk, "ro")
    with pytest.raises(MachineError, match="read-only"):
        run_here(small.place, small_disk / "out")
    assert web.hits.total() == 0


def test_a_folder_without_permission(small, web, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(MachineError, match="permission"):
        run_here(small.place, tmp_path / "out")
    assert web.hits.total() == 0


def test_files_that_may_not_grow(small, web, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(MachineError, match=r"(?i)file too large.*Nothing finished is lost"):
            run_here(small.place, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check_final_names(tmp_path / "out")
    assert temporaries(tmp_path / "out") == []
    assert run_here(small.place, tmp_path / "out")[0].complete
    assert tree_of(tmp_path / "out") == small.shards


def test_a_machine_without_further_threads_is_no_bug_of_ours(small, tmp_path, monkeypatch):
    def no_thread(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("gristmill.run.workers.task.run_task", no_thread)
    with pytest.raises(MachineError, match=r"no further thread.*ulimit"):
        run_here(small.place, tmp_path / "out")
    monkeypatch.undo()
    assert run_here(small.place, tmp_path / "out")[0].complete
