"""Journals: what counts after kills, beside other writers, and in whatever order they are read."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import orjson
import pytest

from gristmill.ledger.ledger import STATE, Ledger
from gristmill.spec.errors import DamagedOutput, GristmillError
from gristmill.spec.task import LostSamples, ShardInfo, TaskRecord


def record(number: int, **more) -> TaskRecord:
    spool = ShardInfo(
        path=f".gristmill/crawled/{number}.spool", role="spool", samples=4, size_bytes=77, digest="0" * 64
    )
    facts = {
        "task_id": f"{number:016x}",
        "stage": "samples",
        "number": (0, 0, number),
        "outputs": (spool,),
        "samples_in": 7,
        "kept": 4,
        "dropped": {"http_404": 2, "reset": 1},
        "hosts": {"127.0.0.1": 3},
        "facts": {"requests": 9},
        "notes": ("a note — with a dash",),
        "seconds": 1.25,
        "finished_at": 1_700_000_000.125 + number,
    }
    return TaskRecord(**facts | more)


def journals(folder: Path) -> list[Path]:
    return sorted((folder / STATE / "records").glob("*.jsonl"))


def rename_journal(folder: Path, to: str) -> None:
    """Give the journal that was written last another name, and so another place in the order."""
    newest = max((p for p in journals(folder) if "-" in p.name), key=lambda p: p.stat().st_mtime_ns)
    newest.rename(newest.with_name(to))


def commit(folder: Path, *records: TaskRecord, name: str) -> None:
    ledger = Ledger(folder)
    for one in records:
        ledger.commit(one)
    ledger.close()
    rename_journal(folder, name)


# what counts


def test_records_are_read_back_as_they_were(tmp_path):
    ledger = Ledger(tmp_path)
    for number in (3, 1, 2):
        ledger.commit(record(number))
    again = Ledger(tmp_path)
    assert again.records == ledger.records == {r.task_id: r for r in map(record, (1, 2, 3))}
    assert [r.number[2] for r in again.stage("samples")] == [1, 2, 3]
    assert list(again.stage("pack")) == []


def test_a_journal_torn_at_any_byte_keeps_all_whole_lines(tmp_path):
    ledger = Ledger(tmp_path)
    for number in range(3):
        ledger.commit(record(number))
    (path,) = journals(tmp_path)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 3
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert len(Ledger(tmp_path).records) == sum(end <= cut for end in ends), cut


def test_what_is_torn_off_is_done_anew_in_a_journal_of_its_own(tmp_path):
    first = Ledger(tmp_path)
    first.commit(record(0))
    first.commit(record(1))
    (path,) = journals(tmp_path)
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)
    second = Ledger(tmp_path)
    second.commit(record(1))
    assert path.read_bytes() == torn
    assert set(Ledger(tmp_path).records) == {record(0).task_id, record(1).task_id}


@pytest.mark.parametrize("line", [b"nonsense\n", b"{}\n", b'{"task_id": 3}\n', b"\n", b"\xff\xfe\n", b"[]\n"])
def test_a_line_that_is_no_record_is_said_with_its_file(tmp_path, line):
    Ledger(tmp_path).commit(record(0))
    (path,) = journals(tmp_path)
    with path.open("ab") as stream:
        stream.write(line)
    with pytest.raises(DamagedOutput, match=rf"{path.name}.*is not a record"):
        Ledger(tmp_path)


@pytest.mark.parametrize("more", [{}, {"outputs": "of another shape"}])
def test_a_record_of_a_later_format_is_said(tmp_path, more):
    Ledger(tmp_path).commit(record(0))
    (path,) = journals(tmp_path)
    said = orjson.loads(path.read_bytes())
    was = said["format"]
    path.write_bytes(orjson.dumps({**said, **more, "format": was + 1}) + b"\n")
    held = rf"{path.name} holds a record of format {was + 1}, and .* knows format {was}"
    with pytest.raises(DamagedOutput, match=held):
        Ledger(tmp_path)


def test_numbers_that_do_not_add_up_are_refused_when_built_and_when_read(tmp_path):
    for wrong in ({"kept": 5}, {"samples_in": 8}, {"dropped": {}}, {"dropped": {"reset": 4}}):
        with pytest.raises(LostSamples, match="do not add up"):
            record(0, **wrong)
    Ledger(tmp_path).commit(record(0))
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"kept":4', b'"kept":5'))
    with pytest.raises(GristmillError, match="add up"):
        Ledger(tmp_path)


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_commit_that_the_disk_refuses_is_none(tmp_path, monkeypatch, call):
    ledger = Ledger(tmp_path)
    ledger.commit(record(0))
    (path,) = journals(tmp_path)
    before = path.read_bytes()
    real = os.write

    def refuse(fd, *args):
        if call == "write":
            real(fd, args[0][:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuse)
        with pytest.raises(OSError, match="No space left"):
            ledger.commit(record(1))
    assert path.read_bytes() == before
    assert set(ledger.records) == {record(0).task_id}
    ledger.commit(record(1))
    assert set(Ledger(tmp_path).records) == {record(0).task_id, record(1).task_id}


# several writers


def test_two_writers_see_each_other_by_refreshing(tmp_path):
    ours, theirs = Ledger(tmp_path), Ledger(tmp_path)
    ours.commit(record(0))
    theirs.commit(record(1))
    assert theirs.refresh() == [record(0)]
    assert ours.refresh() == [record(1)]
    assert ours.refresh() == theirs.refresh() == []
    assert ours.records == theirs.records
    theirs.commit(record(2))
    assert ours.refresh() == [record(2)]
    assert len(journals(tmp_path)) == 2


_COMMITS = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_journals import record
from gristmill.ledger.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
for number in range(int(sys.argv[3]), int(sys.argv[3]) + 20):
    ledger.commit(record(number))
"""


def test_writers_in_other_processes_are_followed_line_by_line(tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", _COMMITS, str(tmp_path), here]
    ledger, seen = Ledger(tmp_path), []
    writers = [subprocess.Popen([*command, str(start)]) for start in (0, 1000)]
    try:
        while any(writer.poll() is None for writer in writers):
            seen += ledger.refresh()
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    seen += ledger.refresh()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(r.number[2] for r in seen) == [*range(20), *range(1000, 1020)]
    assert Ledger(tmp_path).records == ledger.records == {r.task_id: r for r in seen}


# taking back


def test_void_takes_a_record_back_here_and_elsewhere(tmp_path):
    ours, theirs = Ledger(tmp_path), Ledger(tmp_path)
    ours.commit(record(0))
    theirs.refresh()
    theirs.void(record(0).task_id)
    theirs.void(record(0).task_id)
    ours.refresh()
    assert ours.records == theirs.records == Ledger(tmp_path).records == {}
    ours.commit(record(0, seconds=9.0, finished_at=1_800_000_000.0))
    theirs.refresh()
    assert theirs.records == Ledger(tmp_path).records == ours.records
    assert ours.records[record(0).task_id].seconds == 9.0


@pytest.mark.parametrize("names", [("1.jsonl", "2.jsonl", "3.jsonl"), ("3.jsonl", "2.jsonl", "1.jsonl")])
def test_void_and_release_hold_in_whatever_order_journals_are_read(tmp_path, names):
    """Journals are named after processes, and process numbers do not grow for ever."""
    done, again = record(0), record(0, finished_at=1_800_000_000.0)
    kept = record(1)
    commit(tmp_path, done, kept, name=names[0])
    second = Ledger(tmp_path)
    second.release([kept.outputs[0].path])
    second.void(done.task_id)
    second.close()
    rename_journal(tmp_path, names[1])
    assert set(Ledger(tmp_path).records) == {kept.task_id}
    commit(tmp_path, again, name=names[2])
    ledger = Ledger(tmp_path)
    assert ledger.records == {done.task_id: again, kept.task_id: kept}
    assert ledger.is_released(kept, kept.outputs[0])
    assert not ledger.is_released(again, again.outputs[0])


@pytest.mark.parametrize("names", list(itertools.permutations(("1.jsonl", "2.jsonl", "3.jsonl", "4.jsonl"))))
def test_records_of_two_that_differ_are_no_longer_told_once_both_are_taken_back(tmp_path, names):
    one = record(0)
    theirs, anew = (
        record(0, outputs=(replace(one.outputs[0], digest=str(n) * 64),), finished_at=1.8e9 + n)
        for n in (1, 2)
    )
    commit(tmp_path, one, name=names[0])
    commit(tmp_path, theirs, name=names[1])
    ledger = Ledger(tmp_path)
    assert set(ledger.differing) == {one.task_id}
    ledger.void(one.task_id)
    ledger.close()
    rename_journal(tmp_path, names[2])
    commit(tmp_path, anew, name=names[3])
    again = Ledger(tmp_path)
    assert again.differing == {}
    assert again.records == {one.task_id: anew}


def test_what_is_made_anew_is_no_longer_released(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.commit(record(0))
    ledger.release([record(0).outputs[0].path, "stray.spool"])
    assert ledger.is_released(record(0), record(0).outputs[0])
    ledger.void(record(0).task_id)
    again = record(0, finished_at=1_800_000_000.0)
    ledger.commit(again)
    assert not ledger.is_released(again, again.outputs[0])
    assert not Ledger(tmp_path).is_released(again, again.outputs[0])


def test_records_survive_msgspec_and_pickle(tmp_path):
    import pickle

    one = record(5)
    assert pickle.loads(pickle.dumps(one)) == one
    assert msgspec.json.decode(msgspec.json.encode(one), type=TaskRecord) == one


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_what_was_done_anew_holds_in_whatever_order_journals_are_read(tmp_path, order):
    """Done, taken back by another process, done anew by a third."""
    first, second = record(1), record(1, finished_at=1_700_000_900.0, kept=5, dropped={"http_404": 2})
    commit(tmp_path, first, name=f"{order[0]}.jsonl")
    ledger = Ledger(tmp_path)
    ledger.void(first.task_id)
    ledger.close()
    rename_journal(tmp_path, f"{order[1]}.jsonl")
    commit(tmp_path, second, name=f"{order[2]}.jsonl")
    assert Ledger(tmp_path).records == {first.task_id: second}
