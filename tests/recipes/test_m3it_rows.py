"""Any JSON object is a sample or a drop, and what a row says is not lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill import recipes
from gristmill.recipes._m3it import parse
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Sample

NAMES = (
    *("instruction", "inputs", "input", "question", "image_base64_str", "image_str", "img_str", "image"),
    *(
        "outputs",
        "output",
        "answer",
        "targets",
        "paraphrased_answer",
        "original_answer",
        "meta",
        "meta.targets",
    ),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), VALUES, max_size=6))
def test_parse_takes_anything(row):
    made = parse(row)
    if isinstance(made, Drop):
        assert made.reason in {Reason.BAD_ROW, Reason.NO_IMAGE}
        assert len(made.detail) <= 200
    else:
        assert made.media
        assert [turn.role for turn in made.turns] == ["user", "assistant"]
        assert "instruction" in made.columns


@pytest.mark.parametrize(
    ("row", "asked", "answer", "instruction"),
    [
        ({"instruction": "I", "inputs": "Q", "image_base64_str": ["p"], "outputs": "A"}, "Q", "A", "I"),
        (
            {"answer": "A", "meta": {"instruction": "I", "inputs": "Q", "image_base64_str": ["p"]}},
            "Q",
            "A",
            "I",
        ),
        (
            {"answer": "A", "meta.instruction": "I", "meta.inputs": "Q", "meta.image_base64_str": "p"},
            "Q",
            "A",
            "I",
        ),
        ({"question": "Q", "image_str": "p", "answer": "A"}, "Q", "A", None),
        ({"input": "Q", "img_str": "p", "output": "A"}, "Q", "A", None),
        (
            {"question": "Q", "img_str": "p", "paraphrased_answer": "A", "original_answer": "a"},
            "Q",
            "A",
            None,
        ),
        ({"question": "Q", "img_str": "p", "paraphrased_answer": "", "original_answer": "a"}, "Q", "a", None),
        ({"question": "Q", "img_str": "p", "original_answer": 7}, "Q", "7", None),
        ({"image": "p", "meta": {"targets": ["A", "B"]}}, "", "A", None),
        ({"image": "p", "meta.targets": "A"}, "", "A", None),
        ({"question": "old", "meta": {"inputs": "Q"}, "image": "p", "answer": "A"}, "Q", "A", None),
    ],
)
def test_every_known_shape(row, asked, answer, instruction):
    made = parse(row)
    assert isinstance(made, Sample)
    assert "".join(part.text for part in made.turns[0].parts[1:]) == asked
    assert made.turns[1].parts[0].text == answer
    assert made.columns == {"instruction": instruction}
    assert [ref.at.text for ref in made.media.values()] == ["p"]


@pytest.mark.parametrize("name", [name for name in recipes.names() if name.startswith("m3it-")])
def test_shards_are_planned_for_the_file_that_is_read(name):
    recipe = recipes.find(name)
    source = recipe.source("annotations")
    decoded = source.size_bytes * 3 / 4  # Base64 takes four bytes for three, and is nearly all of a line
    assert source.rows * recipe.expect.stored_bytes == pytest.approx(decoded, rel=0.01)
