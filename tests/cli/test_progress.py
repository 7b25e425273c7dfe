"""What is said while a run goes on."""

from __future__ import annotations

from typed import gristmill

from gristmill.cli.progress import Tally
from gristmill.ledger.begun import Begun
from gristmill.ledger.ledger import Ledger
from gristmill.run.context import Progress
from gristmill.run.pipeline import SAMPLES
from gristmill.testing.web import FakeWeb


def test_a_round_of_asking_again_counts_what_it_asks_for(tmp_path):
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    with FakeWeb() as web:
        paths = ("/photo/1.jpg?w=160", "/fault/404/1", "/fault/404/2", "/fault/410/1")
        urls.write_text("\n".join(map(web.url, paths)))
        gristmill("crawl", urls, "--out", out, "--allow-private-addresses", "--workers", "0")
        begun, tally = Begun.read(out).with_round(("http_404",)), Tally()
        tally.begun(begun, Ledger(out))
        assert tally.sentence().startswith("2 of 4 crawled, 0/s, 50% kept; http_410 1")
        tally.running["x"] = Progress(
            task_id="x", stage=SAMPLES, done=1, total=2, reasons={"http_404": 1}, bytes_in=0
        )
        assert tally.sentence().startswith("3 of 4 crawled")
        assert "http_404 1, http_410 1" in tally.sentence() or "http_410 1, http_404 1" in tally.sentence()
        web.put("/fault/404/1", web.pictures.get(1, "jpg", 160).data, content_type="image/jpeg")
        done = gristmill("retry", out, "--reason", "http_404", "--workers", "0")
    assert "4 of 4 crawled" in done.stderr
    assert (
        "50% kept; http_404 1, http_410 1" in done.stderr or "50% kept; http_410 1, http_404 1" in done.stderr
    )
    # the round is done: what failed in it again is not to be asked again
    after = Tally()
    after.begun(Begun.read(out), Ledger(out))
    assert after.sentence().startswith("4 of 4 crawled, 0/s, 50% kept; http_4")
