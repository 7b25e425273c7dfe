"""How what is printed fits a terminal, and that commands are printed as they can be typed."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console
from screen import lines_shown
from typed import gristmill

from gristmill.cli.funnel import render_funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import total
from gristmill.run.stages.rows import Rows
from gristmill.run.stages.samples import Samples
from gristmill.run.state.context import Progress
from gristmill.spec.command import for_readers, started_as, to_type
from gristmill.testing.web import FakeWeb


@pytest.fixture
def plain():
    with for_readers():
        yield


@pytest.mark.usefixtures("plain")
def test_commands_as_they_can_be_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beside = tmp_path / ".venv/bin/gristmill"
    elsewhere = tmp_path.parent / "bin" / "gristmill"
    for path in (beside, elsewhere):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(elsewhere.parent))
    for program, typed in {
        "gristmill": "gristmill",
        str(elsewhere): "gristmill",  # found by its name
        "/usr/lib/python3/pytest/__main__.py": "gristmill",
        ".venv/bin/gristmill": ".venv/bin/gristmill",
        str(beside): ".venv/bin/gristmill",
    }.items():
        with for_readers():
            started_as(program)
            assert to_type("status", "a b") == f"{typed} status 'a b'"
    monkeypatch.setenv("PATH", "/nowhere")
    started_as(str(elsewhere))
    assert to_type("list") == f"{elsewhere} list"
    with for_readers():
        assert to_type("list") == "gristmill list"


@pytest.mark.usefixtures("plain")
def test_metadata_files_name_the_command_alone(tmp_path):
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/a.jpg")
    started_as("/opt/x/gristmill")
    done = gristmill("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", "--workers", "0", code=3)
    assert "/opt/x/gristmill retry" in done.stderr
    for name in ("README.md", "report.html", "dataset.json"):
        assert "/opt/x" not in (tmp_path / "out" / name).read_text()


@pytest.mark.usefixtures("plain")
def test_rows_of_the_list_fit_80_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    started_as(".venv/bin/gristmill")
    said = gristmill("list").stdout.splitlines()
    assert max(map(len, said)) <= 80
    assert said[-1] == "More of each: .venv/bin/gristmill show NAME"


@pytest.mark.parametrize(
    "words", [("crawl",), ("crawl", "--nope"), ("run", "x", "--out", "y", "--only", "0"), ("nope",)]
)
def test_one_style_of_error(words):
    said = gristmill(*words, code=2).stderr
    assert said.startswith("gristmill: ")
    assert "Usage:" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("columns", [40, 80])
def test_numbers_are_whole_on_narrow_terminals(tmp_path, columns):
    out = tmp_path / "out"
    with FakeWeb() as web:
        (tmp_path / "urls.txt").write_text("\n".join(map(web.url, ("/photo/1.jpg?w=64", "/fault/404/1"))))
        gristmill("crawl", tmp_path / "urls.txt", "--out", out, "--workers", "0", "--allow-private-addresses")
    ledger, config = Ledger(out), RunConfig.read(out)
    totals = total(ledger.records.values())
    rows = totals.accounts["reading"]
    rows.kept = rows.samples_in = 1_234_567_890
    console = Console(file=io.StringIO(), width=columns)
    console.print(render_funnel(totals, config))
    said = console.file.getvalue()
    assert said.count("1,234,567,890") == 3
    assert max(map(len, said.splitlines())) <= columns

    (read,) = ledger.stage(Rows.name)
    more = replace(read, samples_in=5_799_998, kept=5_799_998)
    reasons = {"http_404": 749_999}
    crawling = Progress(
        task_id="x", stage=Samples.name, done=1_499_998, total=5_799_998, reasons=reasons, bytes_in=0
    )
    lines = lines_shown(out, columns, committed=[more], under_way=[crawling])
    assert max(map(len, lines)) <= columns
    assert [line for line in lines if line.startswith("crawl ") and "1500000/5800000" in line]
    assert [line for line in lines if "50% kept" in line]


def test_a_proxy_of_the_environment_is_not_ignored_in_silence(tmp_path):
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/a.jpg")
    words = ("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", "--workers", "0")
    said = gristmill(*words, code=3, https_proxy="http://user:secret@127.0.0.1:9").stderr
    assert "HTTPS_PROXY set: the hub and annotation files are asked through the proxy, the hosts of" in said
    assert "add: --proxy URL" in said
    assert "secret" not in said
    assert "PROXY" not in gristmill(*words, code=3).stderr
