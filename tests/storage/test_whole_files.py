import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gristmill.spec.errors import MachineError, UsageError
from gristmill.storage.files import (
    fingerprint_file,
    machine_error,
    scratch_folder,
    sha256_file,
    sweep_temporaries,
    whole_file,
    write_whole,
)

BODY = bytes(range(256)) * 8192


def fail_on(monkeypatch: pytest.MonkeyPatch, name: str, nth: int, number: int) -> None:
    """Let the n-th call of ``os.NAME`` from now on fail, the others go through."""
    real, calls = getattr(os, name), 0

    def failing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == nth:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, failing)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_appear_whole_and_replace_what_was_there(tmp_path):
    path = tmp_path / "new" / "00000.tar"
    write_whole(path, b"old")
    with whole_file(path) as stream:
        stream.write(BODY)
        stream.flush()
        assert path.read_bytes() == b"old"
        assert len(names(path.parent)) == 2
    assert path.read_bytes() == BODY
    assert names(path.parent) == ["00000.tar"]


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize(
    ("call", "nth", "number"),
    [
        ("open", 1, errno.EACCES),
        ("fsync", 1, errno.ENOSPC),
        ("fsync", 1, errno.EIO),
        ("replace", 1, errno.EIO),
    ],
)
def test_a_refusal_before_the_rename_leaves_what_was_there(tmp_path, monkeypatch, call, nth, number, old):
    path = tmp_path / "00000.tar"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patched:
        fail_on(patched, call, nth, number)
        with pytest.raises(OSError, match=os.strerror(number)):
            write_whole(path, BODY)
    assert names(tmp_path) == ([] if old is None else ["00000.tar"])
    assert old is None or path.read_bytes() == old


def test_a_folder_that_cannot_be_synced_is_told_and_the_file_is_whole(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        fail_on(patched, "fsync", 2, errno.EIO)
        with pytest.raises(OSError, match="Input/output error"):
            write_whole(tmp_path / "a", BODY)
    assert (tmp_path / "a").read_bytes() == BODY


def test_the_file_is_synced_before_its_name_and_its_name_before_we_go_on(tmp_path, monkeypatch):
    order: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, real=real, name=name, **k: (order.append(name), real(*a, **k))[1]
        )
    write_whole(tmp_path / "a", BODY)
    assert order == ["fsync", "replace", "fsync"]


def test_a_disk_that_fills_up_in_the_middle(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(tmp_path / "a", BODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_does_not_end_well_leaves_nothing(tmp_path, error):
    def write_and_fail() -> None:
        with whole_file(tmp_path / "a") as stream:
            stream.write(BODY)
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert names(tmp_path) == []


def test_a_planted_link_is_replaced_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a").symlink_to(victim)
    write_whole(tmp_path / "a", BODY)
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()


_WRITES_AND_WAITS = """
import sys, time
from pathlib import Path
from gristmill.storage.files import whole_file
with whole_file(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    print("written", flush=True)
    time.sleep(60)
"""


def test_only_what_dead_processes_left_is_swept(tmp_path):
    path = tmp_path / "00000.tar"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES_AND_WAITS, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "written\n"
            (tmp_path / ".hidden").write_bytes(b"not ours")
            half = next(name for name in names(tmp_path) if ".tmp-" in name)
            elsewhere = half.replace(half.partition(".tmp-")[2][:8], "0" * 8)
            (tmp_path / elsewhere).write_bytes(b"another machine's")
            (tmp_path / f"{elsewhere}0").write_bytes(b"another machine's, of yesterday")
            os.utime(tmp_path / f"{elsewhere}0", (0, 0))
            with whole_file(tmp_path / "b"):
                assert sweep_temporaries(tmp_path) == 1
            assert f"{elsewhere}0" not in names(tmp_path)
        finally:
            writer.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
        assert sweep_temporaries(tmp_path) == 1
    assert not path.exists()
    assert names(tmp_path) == sorted([".hidden", elsewhere, "b"])
    assert sweep_temporaries(tmp_path / "no such folder") == 0


def test_of_one_name_is_swept_what_was_to_become_it_scratch_folders_too(tmp_path):
    out = tmp_path / "mine.parquet"
    with scratch_folder(out) as held:
        (held / "inside").write_bytes(BODY)
        left = tmp_path / held.name.replace(held.name[-4:], "0000")
        (left / "deep").mkdir(parents=True)
        strange = tmp_path / ".other.tmp-of-another-program"
        strange.write_bytes(BODY)
        os.utime(strange, (0, 0))
        assert sweep_temporaries(tmp_path, of=out.name) == 1
        assert names(tmp_path) == sorted([held.name, strange.name])
        with scratch_folder(out) as second:
            assert names(tmp_path) == sorted([held.name, second.name, strange.name])
    assert names(tmp_path) == [strange.name]


def test_a_file_swept_before_its_lock_is_made_again(tmp_path, monkeypatch):
    locked = fcntl.flock

    def sweep_first(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", locked)
        assert sweep_temporaries(tmp_path) == 1
        locked(fd, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    write_whole(tmp_path / "a", BODY)
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, 1 << 17, (1 << 17) + 1, 300_000])
def test_a_fingerprint_sees_edges_and_size_but_not_time(tmp_path, size):
    path = tmp_path / "part.parquet"
    path.write_bytes(bytes(size))
    before = fingerprint_file(path)
    os.utime(path, (0, 0))
    assert fingerprint_file(path) == before
    seen = {before}
    for body in (bytes(size) + b"\0", b"\1" + bytes(size)[1:], bytes(size)[1:] + b"\1"):
        path.write_bytes(body)
        seen.add(fingerprint_file(path))
    assert len(seen) == (4 if size > 1 else 3)


def test_a_list_changed_in_the_middle_has_another_fingerprint(tmp_path):
    path = tmp_path / "urls.txt"
    lines = [f"http://127.0.0.1/{n:06d}.jpg\n" for n in range(20_000)]
    path.write_text("".join(lines))
    before = fingerprint_file(path)
    lines[10_000] = "http://127.0.0.1/another.jp\n"
    path.write_text("".join(lines))
    assert fingerprint_file(path) != before


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, MachineError, "the disk is full"),
        (errno.EROFS, MachineError, "read-only"),
        (errno.EACCES, MachineError, "permission"),
        (errno.ENOENT, UsageError, "No such file"),
    ],
)
def test_refusals_become_sentences(number, kind, words):
    error = machine_error(OSError(number, os.strerror(number), "/data/x"))
    assert type(error) is kind
    assert "/data/x" in str(error)
    assert words in str(error)
    assert "again" in str(error)


@pytest.mark.parametrize(
    ("all_inodes", "left", "words"), [(30, 0, "df -i"), (30, 5, "is full"), (0, 0, "is full")]
)
def test_a_disk_without_inodes_is_not_called_full(all_inodes, left, words, tmp_path, monkeypatch):
    """Some file systems, such as btrfs, have no number of them: they give zeros."""
    found = SimpleNamespace(f_files=all_inodes, f_favail=left)
    monkeypatch.setattr(os, "statvfs", lambda place: found)
    said = str(machine_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "not" / "there"))
    assert words in said


def test_a_full_disk_under_an_object_store_is_told_as_this_machines(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    full = (errno.ENOSPC, "No space left on device")
    for err in (OSError(*full), OSError(*full, str(tmp_path / "cache" / "stores" / "x"))):
        said = str(machine_error(err, "s3://bucket/x"))
        assert said.startswith(f"{tmp_path}/cache")
        assert "make room there, or name a larger disk with GRISTMILL_CACHE=DIR" in said
    refused = OSError(errno.EACCES, "Permission denied", str(tmp_path / "cache" / "stores"))
    assert "name another folder for what is under way with GRISTMILL_CACHE=DIR" in str(machine_error(refused))
    assert "GRISTMILL_CACHE" not in str(machine_error(OSError(*full), tmp_path / "elsewhere"))
