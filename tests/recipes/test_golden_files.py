"""The check itself: it notices, and it does not write over a promise."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill import recipes
from gristmill.spec.errors import RecipeError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop
from gristmill.testing.check_recipe import difference, main, write_expected

HERE = Path(__file__).parent


@pytest.fixture
def golden(tmp_path) -> Path:
    shutil.copytree(HERE / "coyo_700m", tmp_path / "coyo_700m")
    return tmp_path / "coyo_700m"


def test_another_parse_is_noticed_and_needs_another_version(golden):
    recipe = recipes.find("coyo-700m")
    before = (golden / "expected.jsonl").read_bytes()
    other = replace(recipe, parse=lambda row: Drop(reason=Reason.BAD_ROW))
    assert "Raise its version" in difference(other, golden)
    with pytest.raises(RecipeError, match="Raise its version"):
        write_expected(other, golden)
    assert (golden / "expected.jsonl").read_bytes() == before
    newer = replace(other, version="2030.1.1")
    assert "is of version 2026" in difference(newer, golden)
    assert write_expected(newer, golden)
    assert difference(newer, golden) is None
    assert not write_expected(newer, golden)
    assert write_expected(recipe, golden)
    assert (golden / "expected.jsonl").read_bytes() == before


def test_other_selection_and_other_rows_are_noticed(golden):
    recipe = recipes.find("coyo-700m").with_settings({"select.share": "0.3"})
    assert '"table":2' in difference(recipe, golden)
    rows = (golden / "rows.jsonl").read_text().splitlines()
    (golden / "rows.jsonl").write_text("\n".join(rows[:-1]))
    assert "is  nothing" in difference(recipes.find("coyo-700m"), golden)


def test_a_missing_file_is_written(golden):
    (golden / "expected.jsonl").unlink()
    assert "make golden" in difference(recipes.find("coyo-700m"), golden)
    assert main(["--golden", str(golden.parent), "coyo-700m"]) == 1
    assert main(["--golden", str(golden.parent), "--write", "coyo-700m"]) == 0
    assert main(["--golden", str(golden.parent), "coyo-700m"]) == 0
    assert (golden / "expected.jsonl").read_bytes() == (HERE / "coyo_700m" / "expected.jsonl").read_bytes()


def test_a_recipe_without_rows_fails(tmp_path, capsys):
    assert main(["--golden", str(tmp_path)]) == 1
    assert "rows.jsonl" in capsys.readouterr().err
