"""MMC4-core's ``parse``: whatever a line holds becomes a document or a counted drop."""

import string

from hypothesis import given
from hypothesis import strategies as st

from gristmill.recipes.mmc4_core import MAX_IMAGES, parse
from gristmill.shards.samples import sample_parts
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Show, Text
from gristmill.testing.documents import mmc4_document

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["raw_url", "x"]), v, max_size=2),
    max_leaves=6,
)
names = st.sampled_from(["text_list", "image_info", "similarity_matrix", "url", "other"])
image = {"raw_url": anything | st.text(max_size=3), "matched_text_index": anything | st.integers(-1, 3)}
images = st.lists(st.fixed_dictionaries(image), max_size=3)
rows = st.dictionaries(names, anything, max_size=5) | st.fixed_dictionaries(
    {
        "text_list": st.lists(st.text(string.printable, max_size=4) | anything, max_size=3),
        "image_info": images | anything,
        "similarity_matrix": st.lists(st.lists(st.floats(), max_size=2), max_size=3),
    }
)


@given(rows)
def test_no_line_stops_a_run(row):
    outcome = parse(row)
    if isinstance(outcome, Drop):
        assert outcome.reason in {Reason.BAD_ROW, Reason.FEW_IMAGES, Reason.EMPTY_TEXT}
        return
    assert dict(sample_parts(outcome, dict.fromkeys(outcome.media, b"")))["json"]
    (turn,) = outcome.turns
    assert [part.text for part in turn.parts if isinstance(part, Text)] == row["text_list"]
    shown = [int(part.media) for part in turn.parts if isinstance(part, Show)]
    assert sorted(shown) == list(range(len(row["image_info"])))
    assert [ref.url for ref in outcome.media.values()] == [info["raw_url"] for info in row["image_info"]]


@given(st.integers(1, 6), st.data())
def test_reading_order_is_the_loaders(sentences, data):
    """By other means: as the loader puts an image token before its sentence, several in the images' order."""
    matched = data.draw(st.lists(st.integers(0, sentences - 1), min_size=1, max_size=8))
    texts = [f"s{n}" for n in range(sentences)]
    (turn,) = parse(mmc4_document([f"http://a/{n}" for n in range(len(matched))], texts, matched)).turns
    expected = []
    for at, text in enumerate(texts):
        expected += [Show(media=f"{n:03d}") for n, own in enumerate(matched) if own == at] + [Text(text=text)]
    assert list(turn.parts) == expected


def test_more_images_than_three_digits_can_number():
    many = mmc4_document(["http://a/"] * (MAX_IMAGES + 1), ["one"], [0] * (MAX_IMAGES + 1))
    assert parse(many) == Drop(reason=Reason.BAD_ROW, detail="1001 images")
    assert (
        len(parse(mmc4_document(["http://a/"] * MAX_IMAGES, ["one"], [0] * MAX_IMAGES)).media) == MAX_IMAGES
    )
