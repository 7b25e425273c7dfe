"""LLaVA-CC3M-Pretrain-595K as its user runs it: fetched from a made-up hub, then checked, exported and read back."""

import json

import pytest
from typed import gristmill

from gristmill.shards.webdataset import read_samples
from gristmill.sources import cc3m
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.llava_cc3m_595k import write_llava_cc3m

ROWS, ODD = 300, 5


@pytest.fixture
def hub(tmp_path):
    write_llava_cc3m(tmp_path / "upstream", ROWS)
    with FakeHub({cc3m.REPOSITORY: tmp_path / "upstream"}, revision=cc3m.REVISION) as hub:
        yield hub


def test_a_run_from_the_hub_loses_the_odd_rows_and_no_other(hub, tmp_path):
    out = tmp_path / "out"
    gristmill("run", "llava-cc3m-595k", "--out", out, "--workers", 0, HF_ENDPOINT=hub.url)
    data = out / "llava-cc3m-595k"
    samples = [s for shard in sorted((data / "shards").glob("*.tar")) for s in read_samples(shard)]
    assert len(samples) == ROWS - ODD
    gristmill("verify", data)
    gristmill("export", data, "--to", "vila-conversations", "--out", tmp_path / "vila")
    (rows,) = (tmp_path / "vila").rglob("LLaVA-CC3M-Pretrain-595K.json")
    records = json.loads(rows.read_text())
    assert all(len(record["conversations"]) == 2 for record in records)
    for record in records:
        for name in record["image"]:
            assert (rows.parent / "images" / name).is_file()
    gristmill("check", rows, "--media", rows.parent / "images")


def test_two_annotation_files_are_not_given_the_same_keys(tmp_path):
    """A folder with two copies below it."""
    for place in ("new", "old"):
        write_llava_cc3m(tmp_path / "rows" / place, 2)
    own = (tmp_path / "rows/new/images.zip").rename(tmp_path / "own.zip")
    given = ("--source", f"annotations={tmp_path / 'rows'}", "--source", f"cc3m={own}")
    told = gristmill("run", "llava-cc3m-595k", "--out", tmp_path / "out", *given, code=2)
    assert "2 are there: new/chat.json, old/chat.json" in told.stderr
    assert f"--source annotations={tmp_path / 'rows/new/chat.json'}" in told.stderr
