"""What a run must give at least, and what is said where it does not."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from typed import gristmill

from gristmill.cli.run_tally import RunTally
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.remedies import commonest
from gristmill.ledger.run_config import RunConfig
from gristmill.recipes._command_crawl import build as url_list
from gristmill.run.stages.samples import Samples
from gristmill.run.state.context import Progress
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.task import TaskRecord
from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0")


def test_a_list_that_gives_little_ends_with_3_unless_less_will_do(tmp_path):
    urls = tmp_path / "urls.txt"
    with FakeWeb() as web:
        paths = ["/photo/1.jpg?w=64", *(f"/fault/404/{n}" for n in range(11))]
        urls.write_text("\n".join(map(web.url, paths)))
        said = gristmill("crawl", urls, "--out", tmp_path / "a", *QUICK, code=3).stderr
        assert "8.3 % of 12 samples were kept, fewer than the 10 % that are expected (--min-kept)" in said
        assert "100 % of the loss is http_404 (not found (404)). Lists age" in said
        gristmill("crawl", urls, "--out", tmp_path / "a", *QUICK, "--min-kept", "0.05")
        gristmill("retry", tmp_path / "a", "--reason", "http_404", *QUICK, "--min-kept", "0.5", code=3)
    gristmill("crawl", urls, "--out", tmp_path / "b", "--min-kept", "1.5", code=2)


def row_record(kept):
    return TaskRecord(
        task_id="r",
        stage="rows",
        account="reading",
        number=(0, 0, 0),
        outputs=(),
        samples_in=kept,
        kept=kept,
    )


def test_it_is_said_once_when_it_is_certain(tmp_path):
    config = RunConfig(
        recipe="crawl",
        name="crawl",
        version="1",
        identity={"steps": [{"step": "crawl"}]},
        inputs=(None,),
        asks=True,
    )
    tally = RunTally()
    tally.config(config, Ledger(tmp_path), 0.5)
    lost = {"http_403": 40, "stalled": 11}

    def under_way(reasons):
        tally.under_way(
            Progress(task_id="x", stage=Samples.name, done=60, total=100, reasons=reasons, bytes_in=0)
        )

    under_way(lost)
    assert tally.short() == ""  # how many there are is not known yet
    tally.committed(row_record(100))
    under_way({"http_403": 40, "stalled": 10})
    assert tally.short() == ""
    under_way(lost)
    said = tally.short()
    assert "at most 49.0 % of 100 will be kept" in said
    assert "78.4 % of the loss is http_403 (forbidden (403)). Hosts may want to know who asks" in said
    assert tally.short() == ""


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words(reason):
    assert re.fullmatch(rf"100 % of the loss is {reason} \(.+\)\. .+\.", commonest({reason: 3}))


def test_of_equal_losses_the_one_is_named_that_stands_first_everywhere_else():
    assert commonest({"http_410": 3, "http_404": 3}).startswith("50.0 % of the loss is http_404")


def test_where_no_row_is_chosen_the_commonest_reason_is_said(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.csv").write_text("url\n")
    (tmp_path / "lists" / "b.csv").write_text("url\nhttp://x/1,2\nhttp://x/2,3\n")
    said = gristmill("crawl", tmp_path / "lists", "--out", tmp_path / "out", "--workers", "0", code=3).stderr
    assert (
        "none of 2 rows was chosen. 100 % of the loss is bad_row (the row could not be read). The detail"
        in said
    )


@pytest.mark.parametrize("share", ["-0.1", "1.01", "nan", "half", "inf"])
def test_shares_that_are_none(share):
    with pytest.raises(UsageError, match="kept_share"):
        url_list("a").with_settings({"expect.kept_share": share})


def test_own_hosts_on_other_ports_and_rows_that_were_judged(tmp_path):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        urls.write_text(web.url("/photo/1.jpg?w=64"))
        said = gristmill("crawl", urls, "--out", out, "--workers", "0", code=3).stderr
        advice = re.search(r"would allow bad_port: gristmill (.*)", said)
        again = gristmill("crawl", urls, "--out", out, *QUICK, code=3).stderr
        assert "1 row had been judged without --allow-private-addresses" in again
        told = re.search(r"again only by: gristmill (.*)", again)
        assert advice
        assert (
            advice[0] in gristmill("retry", out, "--workers", "0").stderr
        )  # nothing may come back without it
        assert told
        assert shlex.split(advice[1]) == shlex.split(told[1])
        done = gristmill(*shlex.split(told[1]), "--workers", "0")
        assert "had been judged" not in done.stderr
    assert json.loads(gristmill("status", out, "--json").stdout)["counts"]["packed"] == 1
