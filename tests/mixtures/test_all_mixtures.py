"""What must hold for every mixture."""

import random

import pytest

from gristmill import mixtures, recipes
from gristmill.spec.errors import RecipeError, UnknownName
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle


@pytest.mark.parametrize("name", mixtures.names())
def test_mixture(name):
    mixture = mixtures.find(name)
    assert mixture.public_name == name
    assert mixtures.is_mixture(name)
    assert name not in (*recipes.names(), *recipes.groups())
    assert mixture.recipe().public_name == name
    for part in mixture.parts:
        recipe = mixtures.find(part.name) if mixtures.is_mixture(part.name) else recipes.find(part.name)
        if part.published:
            assert f"{recipe.published_as}.pkl" == part.published


def test_vflan_is_text_flan_and_m3it_in_the_order_of_the_published_files():
    parts = mixtures.find("vflan").parts
    assert len(parts) == 15
    assert {part.name for part in parts} == {"text-flan", *recipes.members("m3it")}
    assert [part.published for part in parts] == sorted(part.published for part in parts)


def test_unknown_names_and_files_without_a_mixture(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'vflan'"):
        mixtures.find("vflann")
    with pytest.raises(UnknownName, match="no mixture file"):
        mixtures.find(str(tmp_path / "none.py"))
    path = tmp_path / "other.py"
    path.write_text("RECIPE = 1\n")
    assert not mixtures.is_mixture(str(path))
    assert not mixtures.is_mixture(str(tmp_path / "none.py"))
    with pytest.raises(RecipeError, match="MIXTURE"):
        mixtures.find(str(path))


def made(*parts):
    return Mixture(
        name="m",
        version="2026.11.1",
        title="",
        description="",
        homepage="",
        license="",
        parts=parts,
        shuffle=Shuffle(),
    )


def test_mixtures_that_contradict_themselves():
    for parts in ((), (Part(name="a"), Part(name="a"))):
        with pytest.raises(RecipeError, match="at least one part, and each once"):
            made(*parts)
    with pytest.raises(RecipeError, match="order of their published names"):
        made(Part(name="a", published="b.pkl"), Part(name="b", published="a.pkl"))
    for wrong in (
        {"weight": 0},
        {"weight": -1},
        {"weight": float("nan")},
        {"prefix": "a.b"},
        {"prefix": "é"},
    ):
        with pytest.raises(RecipeError, match="part a"):
            Part(name="a", **wrong)


def test_shares_are_exact():
    assert Part(name="a", weight=0.1).taken(30) == 3  # 0.1 * 30 is 3.0000000000000004 as a float
    assert Part(name="a", weight=0.5).taken(3) == 2
    rng = random.Random(1)
    for _ in range(200):
        samples, weight = rng.randrange(10**9), rng.randrange(1, 400) / 100
        assert abs(Part(name="a", weight=weight).taken(samples) - weight * samples) < 0.51
