"""Made-up rows of M3IT and GSM8K go through the real recipes as they are meant to."""

from functools import partial

import pytest

from gristmill import recipes
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.totals import total
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.testing.rows_with_pictures import write_gsm8k, write_m3it


class Watcher:
    """Is told nothing that matters here."""

    def config(self, *_: object) -> None: ...
    def progress(self, *_: object) -> None: ...
    def committed(self, *_: object) -> None: ...

    def noted(self, *_: object) -> None: ...
    def say(self, text: str) -> None: ...
    def last_words(self, text: str) -> None: ...


def dropped(tmp_path, name, source) -> dict[str, int]:
    job = Job(
        load=partial(recipes.load, name),
        reference=name,
        folder=tmp_path / "out",
        replaced={"annotations": str(source)},
    )
    assert run(job, Watcher()).complete
    return dict(total(Ledger(tmp_path / "out").records.values()).stage("samples").dropped)


@pytest.mark.parametrize("name", ["m3it-gqa", "m3it-visual-dialog", "m3it-ivqa"])
def test_odd_rows_are_counted(tmp_path, name):
    write_m3it(tmp_path / "hub", name, 180)
    found = dropped(tmp_path, name, tmp_path / "hub")
    assert found == {
        "bad_base64": 1,
        "undecodable": 1,
        "truncated": 1,
        "no_image": 1,
        "empty_answer": 1,
        "bad_row": 1,
    }


def test_problems_without_question_or_answer(tmp_path):
    write_gsm8k(tmp_path / "train_use.jsonl", 50)
    found = dropped(tmp_path, "gsm8k-screl", tmp_path / "train_use.jsonl")
    assert found == {"bad_row": 1, "empty_question": 1}
