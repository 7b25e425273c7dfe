"""What is said while a run goes on."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from screen import lines_shown
from typed import gristmill

from gristmill.cli.named import loader_of
from gristmill.cli.progress import Bars, Lines
from gristmill.cli.run_tally import RunTally
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.maintenance.reopen import interrupted, open_dataset
from gristmill.run.planning.planner import Planner
from gristmill.run.stages.rows import Rows
from gristmill.run.stages.samples import Samples
from gristmill.run.state.context import Context, Progress
from gristmill.shards.spool import SpoolWriter, read_spool
from gristmill.spec.fate import Fate
from gristmill.spec.task import Task
from gristmill.storage.store import store_at
from gristmill.testing.web import FakeWeb


def test_a_round_of_asking_again_counts_what_it_asks_for(tmp_path):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        paths = ("/photo/1.jpg?w=160", "/fault/404/1", "/fault/404/2", "/fault/410/1")
        urls.write_text("\n".join(map(web.url, paths)))
        gristmill("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
        config, tally = RunConfig.read(out).with_round(("http_404",)), RunTally()
        tally.config(config, Ledger(out))
        assert tally.sentence().startswith("2 of 4 crawled, 0/s, 50% kept; http_410 1")
        tally.under_way(
            Progress(task_id="x", stage=Samples.name, done=1, total=2, reasons={"http_404": 1}, bytes_in=0)
        )
        assert tally.sentence().startswith("3 of 4 crawled")
        assert "http_404 1, http_410 1" in tally.sentence() or "http_410 1, http_404 1" in tally.sentence()
        web.put("/fault/404/1", web.pictures.get(1, "jpg", 160).data, content_type="image/jpeg")
        done = gristmill("retry", out, "--reason", "http_404", "--allow-private-addresses", "--workers", "0")
    assert "4 of 4 crawled" in done.stderr
    assert (
        "50% kept; http_404 1, http_410 1" in done.stderr or "50% kept; http_410 1, http_404 1" in done.stderr
    )
    # the round is done: what failed in it again is not to be asked again
    after = RunTally()
    after.config(RunConfig.read(out), Ledger(out))
    assert after.sentence().startswith("4 of 4 crawled, 0/s, 50% kept; http_4")


def test_what_a_cut_off_run_loses_in_a_round_is_asked_for_again_and_counted_once(tmp_path):
    """A retry of an unfinished folder ends the first round too; what fails there is asked for again in this one."""
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        urls.write_text("\n".join(map(web.url, ("/photo/1.jpg?w=160", "/fault/404/1", "/fault/410/1"))))
        gristmill("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
    (record,) = Ledger(out).stage(Samples.name)
    _cut_off(out, after=3)
    tally = RunTally()
    tally.config(RunConfig.read(out).with_round(("http_404",)), Ledger(out))
    tally.committed(record)
    assert tally.sentence().startswith("2 of 3 crawled")
    assert tally.sentence().endswith("; http_410 1")


def test_the_time_left_of_a_share_is_for_what_falls_to_it(tmp_path):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        urls.write_text("\n".join(web.url(f"/fault/404/{n}") for n in range(60)))
        words = ("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
        gristmill(*words, "--set", "rows.part_rows=3", "--share", "1/2")
    opened = open_dataset(out)
    done = len(opened.ledger.stage(Samples.name))
    left = []
    for share in ((1, 2), (2, 2), None):
        planner = Planner(
            loader_of(opened, opened.config.settings)(), opened.config, opened.ledger, share=share
        )
        tally = RunTally()
        tally.config(opened.config, opened.ledger, planner=planner)
        tally.since -= 10_000
        tally.new = 10_000
        left.append(tally.left_s() * tally.rate())
    assert left == pytest.approx([0, 60 - 3 * done, 60 - 3 * done], rel=0.1)
    task = planner.pop()
    tally.under_way(Progress(task_id=task.id, stage=task.stage, done=2, total=3, reasons={}, bytes_in=0))
    assert tally.left_s() * tally.rate() == pytest.approx(60 - 3 * done - 2, rel=0.02)
    record = replace(opened.ledger.stage(Samples.name)[0], task_id=task.id)
    opened.ledger.commit(record)
    planner.absorb(record)
    tally.committed(record)
    assert tally.left_s() * tally.rate() == pytest.approx(60 - 3 * done - 3, rel=0.02)
    opened.ledger.close()


def test_the_time_before_the_first_task_asks_says_nothing_of_the_rate(tmp_path):
    """A list is read, shards of others are waited for: a share would seem to need days."""
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        urls.write_text("\n".join(web.url(f"/fault/404/{n}") for n in range(9)))
        words = ("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
        gristmill(*words, "--set", "rows.part_rows=3", "--share", "1/2", code=None)  # 3 where all fall to it
    opened = open_dataset(out)
    built = loader_of(opened, opened.config.settings)()
    tally = RunTally()
    tally.config(
        opened.config, opened.ledger, planner=Planner(built, opened.config, opened.ledger, share=(2, 2))
    )
    tally.since -= 10_000
    said = Progress(task_id="1", stage=Samples.name, done=0, total=3, reasons={}, bytes_in=0)
    tally.under_way(said)
    tally.since -= 10
    tally.under_way(replace(said, done=2))
    assert tally.rate() == pytest.approx(2 / 10, rel=0.1)


def test_what_other_runs_do_counts_and_says_nothing_of_the_rate(tmp_path):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        urls.write_text("\n".join(web.url(f"/fault/404/{n}") for n in range(8)))
        words = ("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
        gristmill(*words, code=3)
    ledger = Ledger(out)
    tally = RunTally()
    tally.config(RunConfig.read(out), Ledger(tmp_path))
    for record in ledger.records.values():
        tally.committed(record, by_others=True)
    assert tally.sentence().startswith("8 of 8 crawled, 0/s, 0% kept; http_404 8")
    ledger.close()


def test_what_an_interrupted_run_finished_counts_from_the_beginning(tmp_path, monkeypatch):
    urls, out, told = tmp_path / "urls.txt", tmp_path / "out", []
    with FakeWeb() as web:
        urls.write_text("\n".join(web.url(f"/fault/404/{n}") for n in range(4)))
        words = ("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
        gristmill(*words, code=3)
        _cut_off(out, after=3)
        tally = RunTally()
        tally.config(RunConfig.read(out), Ledger(out))
        assert tally.sentence() == "3 of 4 crawled, 0/s, 0% kept; http_404 3"
        assert "3 media finished in 1 crawl task" in gristmill("status", out).stdout
        monkeypatch.setattr(Lines, "progress", lambda lines, progress: told.append(progress))
        gristmill(*words, code=3)
    assert told[0].done == 3  # a task says what it begins with
    tally.since -= 1000
    for done in (3, 4):
        tally.under_way(replace(told[0], done=done))
    assert tally.rate() == pytest.approx(1 / 1000, rel=0.1)
    (record,) = Ledger(out).stage(Samples.name)
    tally.committed(record)
    assert tally.sentence() == "4 of 4 crawled, 0/s, 0% kept; http_404 4"
    assert tally.new == 1


def test_documents_of_an_interrupted_run_are_counted_by_their_task_alone(tmp_path):
    spool = tmp_path / ".gristmill/crawled/00000-00000-x.spool"
    spool.parent.mkdir(parents=True)
    with SpoolWriter(spool) as writer:
        for medium in ("000", "001.jpg"):
            writer.append(orjson.dumps(Fate(row=0, medium=medium)))
    assert list(interrupted(Ledger(tmp_path))) == []
    tally = RunTally()
    for done in (700, 700):
        tally.under_way(
            Progress(task_id="x", stage=Samples.name, done=done, total=None, reasons={}, bytes_in=0)
        )
    assert (tally.now("making"), tally.rate()) == (700, 0)


def _cut_off(folder: Path, *, after: int) -> None:
    """Make of a finished dataset one whose only crawl task was killed after so many media."""
    ledger = Ledger(folder)
    (record,) = ledger.stage(Samples.name)
    spool = folder / record.output("spool").path
    last = list(read_spool(spool))[after - 1]
    os.truncate(spool, last.offset + last.size)
    ledger.void(record.task_id)
    ledger.close()


def test_on_eighty_columns_every_number_is_whole(tmp_path):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        urls.write_text(web.url("/photo/1.jpg?w=160"))
        gristmill("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
    (read,) = Ledger(out).stage(Rows.name)
    more = replace(read, samples_in=5_799_999, kept=5_799_999)
    reasons = {"http_404": 113_000, "not_an_image": 21_000, "too_many_pixels": 16_000}
    crawling = Progress(
        task_id="x", stage=Samples.name, done=1_499_999, total=5_799_999, reasons=reasons, bytes_in=0
    )
    last = lines_shown(out, 80, committed=[more], under_way=[crawling])[-4:]
    assert "5800000/5800000 rows" in last[0]
    assert re.search(r"1500000/5800000 [\d,]+/s, 90% kept [-\d]+:[-\d]{2}:[-\d]{2}", last[1])
    assert last[3].strip() == "http_404 113,000  not_an_image 21,000  too_many_pixels 16,000"


def test_how_much_of_the_annotation_files_is_fetched():
    tally, context = RunTally(), Context(store=store_at(Path("nowhere")), inputs=(), remotes={})
    context.tell = tally.under_way
    tasks = [Task(stage=Rows.name, number=(0, n, 0), inputs=(), identity="") for n in range(2)]
    context.report_fetch(tasks[0], 300_000_000, 1_050_000_000)
    context.report_fetch(tasks[1], 100_000_000, 1_050_000_000)
    assert tally.sentence() == "annotation files: 400 MB of 2.10 GB fetched"
    context.report_fetch(tasks[0], 0, None)
    tally.total["making"] = 90
    assert (
        tally.sentence()
        == "0 of 90 crawled, 0/s, nothing asked yet; annotation files: 100 MB of 1.05 GB fetched"
    )
    context.report_fetch(tasks[1], 0, None)
    assert tally.sentence() == "0 of 90 crawled, 0/s, nothing asked yet"


@pytest.mark.parametrize(("watcher", "before"), [(Lines, ""), (Bars, "\n\x1b[?25h")])
def test_the_last_words_of_a_run_that_is_cut_off(watcher, before, tmp_path, capfd):
    """On a terminal the bars had hidden the cursor."""
    watcher(tmp_path).last_words("Ended at once.")
    assert capfd.readouterr().err == f"{before}gristmill: Ended at once.\n"
