"""What must hold for every recipe."""

import importlib
import re
from pathlib import Path

import pytest

from gristmill import recipes
from gristmill.recipes import coyo_700m
from gristmill.run.planning.pipeline import Pipeline
from gristmill.spec.errors import RecipeError, UnknownName
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe
from gristmill.steps.select import SCORE
from gristmill.testing.check_recipe import check_recipe, difference, golden_rows

HERE = Path(__file__).parent
SHORT_PIN = frozenset({"coyo-700m", "text-flan"})
"""Pinned by an abbreviated commit, which the hub's documentation does not promise to take. Only gets smaller."""


@pytest.fixture(params=recipes.names())
def recipe(request) -> Recipe:
    return recipes.find(request.param)


def golden(recipe: Recipe) -> Path:
    return HERE / recipe.name


def test_golden_rows_become_what_they_did(recipe):
    told = difference(recipe, golden(recipe))
    assert told is None, told


def test_golden_rows_are_few_and_hold_odd_ones(recipe):
    rows = golden_rows(golden(recipe))
    assert 3 <= len(rows) <= 10
    lines = check_recipe(recipe, rows, golden(recipe))[1:]
    assert [line["row"] for line in lines] == list(range(len(rows)))
    assert any("sample" in line for line in lines)
    assert any("drop" in line for line in lines)


def test_keys_are_what_shards_and_loaders_can_hold(recipe):
    """Plain ASCII without a dot, each its own."""
    lines = check_recipe(recipe, golden_rows(golden(recipe)), golden(recipe))[1:]
    keys = [line["sample"]["key"] for line in lines if "sample" in line and line["sample"]["key"]]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,100}", key) for key in keys)


def test_the_card_is_filled_in(recipe):
    for text in (recipe.title, recipe.description, recipe.license, recipe.citation):
        assert text
        assert text == text.strip()
    assert recipe.description.endswith(".")
    assert re.match(r"https?://", recipe.homepage)
    assert recipe.license != "unknown"
    assert recipe.stages
    assert recipe.sources
    assert 0 < recipe.expect.kept_share < 1
    assert recipe.public_name in recipes.names()


def test_sources_are_pinned_or_by_hand(recipe):
    assert len({source.key for source in recipe.sources}) == len(recipe.sources)
    for source in recipe.sources:
        if source.role == "media":  # tests/sources
            continue
        assert source.path is None
        assert sum(map(bool, (source.hub, source.url, source.by_hand))) == 1
        assert source.license != "unknown"
        if source.hub:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+", source.hub)
            if source.revision == "main":  # no commit of the repository is known, and the recipe says so
                assert any("main branch" in trap for trap in recipe.traps)
                continue
            full = bool(re.fullmatch(r"[0-9a-f]{40}", source.revision))
            assert full != (recipe.public_name in SHORT_PIN)
            assert re.fullmatch(r"[0-9a-f]{7,40}", source.revision)
        if source.url:
            assert source.url.startswith("https://")
        if not source.by_hand:
            assert source.files
            assert source.size_bytes
            assert source.rows or source.role != "rows"


def test_the_module_says_what_is_odd_about_the_dataset(recipe):
    module = importlib.import_module(f"gristmill.recipes.{recipe.name}")
    assert module.__doc__
    assert len(module.__doc__.split()) > 20
    assert recipe.parse.__doc__
    assert recipe.traps


def test_steps_make_stages_and_declare_their_drops(recipe):
    table = Pipeline(recipe).table
    for step in recipe.steps:
        assert step.drops <= frozenset(Reason)
        assert step.needs.cpus > 0
        assert step.identity()["step"] == step.name
    decided = {
        line["table"] for line in check_recipe(recipe, golden_rows(golden(recipe)), golden(recipe))[1:]
    }
    assert {reason for reason in decided if isinstance(reason, str)} <= set(map(str, table.drops))


def test_every_setting_can_be_set_as_text_or_says_why_not(recipe):
    for step in recipe.steps:
        for name, value in step.identity().items():
            if name in {"step", "revision"} or value is None:
                continue
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            assert recipe.with_settings({f"{step.name}.{name}": text}) == recipe, f"{step.name}.{name}={text}"


def test_a_name_that_nothing_answers_to():
    with pytest.raises(UnknownName, match="Did you mean 'coyo-700m'"):
        recipes.find("coyo-700")
    with pytest.raises(UnknownName, match="recipe file"):
        recipes.find("no/such/file.py")


def test_somebodys_own_file_is_found_by_its_path(tmp_path):
    source = Path(recipes.__path__[0], "coyo_700m.py").read_text()
    mine = tmp_path / "mine.py"
    mine.write_text(source.replace('name="coyo_700m"', 'name="mine"'))
    assert recipes.find(str(mine)).public_name == "mine"
    assert recipes.load(str(mine), None, {"select.share": "0.5"}).steps[0].share == 0.5
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(RecipeError, match="has no RECIPE"):
        recipes.find(str(tmp_path / "empty.py"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\ndef x(:\n", "line 2: SyntaxError"),
        ("\n\nimport nothing_there\n", "line 3: ModuleNotFoundError"),
        ("def f():\n    raise RuntimeError('boo')\n\nf()\n", "line 2: RuntimeError: boo"),
        ("from gristmill.spec.recipe import Recipe\nRECIPE = Recipe(name='a')\n", "line 2: TypeError"),
        ("open('/no/such/thing')\n", "line 1: FileNotFoundError"),
    ],
)
def test_somebodys_own_file_that_is_wrong(tmp_path, text, told):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(RecipeError, match=rf"mine\.py, {told}"):
        recipes.find(str(tmp_path / "mine.py"))


def test_coyos_clip_sim_is_the_score_that_it_was_selected_by():
    row = {"id": 1, "url": "http://a.test/1", "text": "a cat"} | dict.fromkeys(coyo_700m.SCORES, 0.31)
    chosen = coyo_700m.parse({**row, SCORE: 0.6200000047683716})  # what single precision makes of it
    assert chosen.columns == {"clip_sim": 0.6200000047683716}
