import pytest

from gristmill.spec.condition import Condition
from gristmill.spec.errors import RecipeError

ROW = {
    "score": 0.5,
    "text": "0.7",
    "lang": "en",
    "safe": True,
    "a b": "x",
    "upstream": {"n": 3, "tags": ["a"]},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("score >= 0.5", True),
        ("score > 0.5", False),
        ("score<1e0", True),
        ("text >= 0.7", True),  # a number written as text
        ("lang = en", True),
        ("lang=de|en", True),
        ("lang != de|fr", True),
        ("lang != de|en", False),
        ("safe = true", True),
        ("upstream.n <= 3", True),
        ("upstream.n = 3", True),
        ("a b = x", True),
        ("lang > 1", False),  # no number
        ("missing = 1", False),
        ("missing != 1", False),
        ("safe >= 0", False),
        ("score = 0.5", True),
    ],
)
def test_conditions(text, holds):
    assert Condition.read(text).holds(ROW) is holds


@pytest.mark.parametrize(
    "text", ["", "score", ">= 3", "score >=", "score >= high", "score >= nan", "score ~ 3"]
)
def test_no_conditions(text):
    with pytest.raises(RecipeError, match=r"condition|number"):
        Condition.read(text)
