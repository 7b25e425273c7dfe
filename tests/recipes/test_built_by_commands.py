"""Recipes that a command builds from its arguments: one file each, found by its name."""

from pathlib import Path

import pytest

from gristmill import recipes

OWN = """
from dataclasses import replace
from gristmill.recipes import find
from gristmill.spec.recipe import Built

BUILT = Built(command=("photos", "FOLDER"), source="annotations", input="album")


def build(path, title=""):
    return replace(find("coyo-700m"), title=title or path, built=BUILT)
"""


def test_those_there_are() -> None:
    assert recipes.commands() == ["conversations", "crawl", "import"]
    assert not {"crawl", "import"} & {*recipes.names()}
    assert recipes.load("crawl", {"path": "urls.txt"}).built == recipes.built_by("crawl")
    assert recipes.load("crawl", {"path": "urls.txt"}).asks
    assert not recipes.load("import", {"path": "in"}).asks


def test_another_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_command_photos.py").write_text(OWN)
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])
    assert recipes.commands() == ["conversations", "crawl", "import", "photos"]
    assert recipes.built_by("photos").place == "FOLDER"
    recipe = recipes.load("photos", {"path": "summer"}, {"crawl.size_px": "200"})
    assert (recipe.title, recipe.input_noun) == ("summer", "album")
