from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1] / "viewer"))
from made_dataset import Made, make_dataset

from gristmill.cli.funnel import funnel_json, next_steps, print_status, render_funnel
from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.totals import Totals, total


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_dataset(tmp_path_factory.mktemp("made"))


def said(made: Made, totals: Totals, width: int = 120) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False)
    console.print(render_funnel(totals, made.config, shards=(3, 12345)))
    for line in next_steps(totals, made.config, where="DIR/made-up"):
        console.print(line)
    return out.getvalue()


def test_plain_text_holds_every_number(made: Made) -> None:
    totals = total(made.ledger.records.values())
    text = said(made, totals)
    levels = funnel(totals, made.config)
    assert "\x1b" not in text
    for level in levels.levels:
        assert re.search(rf"^ +{level.count:,}  {re.escape(level.title)}", text, re.MULTILINE)
    for reason, n in levels.dropped(after_selection=True).items():
        assert re.search(rf"^  {reason} +{n:,} ", text, re.MULTILINE)
    assert len(re.findall(r"pictures-\d+\.example\.org", text)) == 10
    assert "gristmill retry DIR/made-up" in text
    assert "a note <b>of the run</b>" in text
    assert "3 shards, 12.3 kB" in text
    assert "asked again so far: once" in text


def test_what_is_left_is_said(made: Made) -> None:
    rows = total(r for r in made.ledger.records.values() if r.stage == "rows" and r.number[1] == 0)
    text = said(made, rows)
    assert "not complete yet" in text
    assert "still to read: 1 of 2 annotation files" in text
    assert "still to ask for: 120" in text
    assert "continues it" in text
    crawled = total(r for r in made.ledger.records.values() if r.stage != "pack")
    assert f"still to pack: {crawled.stage('samples').kept:,}" in said(made, crawled)


def test_the_rate_is_that_of_the_time_at_work(made: Made) -> None:
    totals = total(made.ledger.records.values())
    asked = funnel(totals, made.config).count("asked")
    totals = replace(totals, started_at=0.0, finished_at=86_400.0, busy_s=20.0)
    text = said(made, totals)
    assert f", 20 s of it at work, {asked / 20:,.1f} addresses a second" in text
    text = said(made, replace(totals, finished_at=20.0))
    assert f"20 s from the first task to the last, {asked / 20:,.1f} addresses a second" in text


def test_nothing_done_yet(made: Made) -> None:
    text = said(made, Totals())
    assert "still to read: 2 of 2 annotation files" in text
    assert funnel_json(Totals(), made.config)["complete"] is False


def test_what_is_under_way_stands_below_the_numbers_that_lack_it(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    print_status(made.folder, made.config, made.ledger, as_json=False)
    assert "not counted above" not in capsys.readouterr().out
    print_status(made.folder, made.config, made.ledger, as_json=False, begun=(22, 1094))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    at = lines.index("  not counted above: 1,094 media finished in 22 crawl tasks under way or interrupted")
    assert lines[at - 1].endswith("in the shards")


def test_narrow_terminals_keep_the_numbers(made: Made) -> None:
    totals = total(made.ledger.records.values())
    text = said(made, totals, width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert f"{totals.stage('rows').samples_in:,}" in text


def test_a_command_is_one_line_however_narrow_the_terminal(
    made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    print_status(made.folder, made.config, Ledger(made.folder), as_json=False)
    out = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert re.search(r"gristmill retry \S+ --reason [a-z0-9_,]+$", out, re.MULTILINE)


def test_json_is_one_line_that_adds_up(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    print_status(made.folder, made.config, Ledger(made.folder), as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    value = orjson.loads(out)
    assert value["counts"]["annotated"] == value["counts"]["packed"] + sum(value["dropped"].values())
    assert value["complete"] is value["adds_up"] is True
    assert value["folder"] == str(made.folder)


def test_in_a_log_lines_are_not_wrapped_at_eighty(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    print_status(made.folder, made.config, Ledger(made.folder), as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert re.search(r"beyond_share \d+", out)
