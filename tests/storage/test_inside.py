"""Folders from strangers: what is no regular file in them is told, and never read, waited for or followed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gristmill.spec.errors import DamagedOutput
from gristmill.storage.inside import irregular, irregularity, open_regular, read_regular


def a_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


KINDS = {
    a_link: "a link",
    a_link_to_nothing: "a link",
    a_loop: "a link",
    a_fifo: "a FIFO",
    a_socket: "a socket",
}


@pytest.mark.parametrize("make", KINDS)
def test_what_is_no_regular_file_is_said_and_not_opened(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state" / "deep").mkdir(parents=True)
    path = tmp_path / "state" / "deep" / "x"
    make(path)
    assert list(irregular(tmp_path, "state")) == [("state/deep/x", KINDS[make])]
    assert irregularity(tmp_path, "state/deep/x") == KINDS[make]
    for read in (open_regular, read_regular):
        with pytest.raises(DamagedOutput, match=KINDS[make]):
            read(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_opened(tmp_path):
    os.mknod(tmp_path / "x", 0o600 | 0o020000, os.makedev(1, 5))
    assert irregularity(tmp_path, "x") == "a device"
    with pytest.raises(DamagedOutput, match="a device"):
        read_regular(tmp_path / "x")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/hostname", "a/../../x", "", ".", "..", "a//b", "x\0y", "a/./b"]
)
def test_paths_that_lead_out(path, tmp_path):
    assert irregularity(tmp_path, path) == "no path in this folder"


def test_a_file_behind_a_linked_folder(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_bytes(b"1")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "shards").symlink_to(tmp_path / "elsewhere")
    assert irregularity(tmp_path / "in", "shards/x") == "in shards, which is a link"
    assert list(irregular(tmp_path / "in", "shards", "gone")) == [("shards", "a link")]


def test_names_that_no_file_can_have(tmp_path):
    assert "no file that can be looked at" in (irregularity(tmp_path, "x" * 5000) or "")
    assert "no file that can be looked at" in (irregularity(tmp_path, "\ud800") or "")


def test_regular_files_are_read_up_to_a_size(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert irregularity(tmp_path, "x") is None
    assert irregularity(tmp_path, "y") is None
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(DamagedOutput, match="larger than the 4 bytes"):
        read_regular(path, 4)
    os.truncate(path, 1 << 40)
    with pytest.raises(DamagedOutput, match="larger"):
        read_regular(path)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "gone")
