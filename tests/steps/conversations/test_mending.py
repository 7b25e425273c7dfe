"""Whatever a record holds, it is looked at without a fault, and what was mended needs no mending again."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.steps.conversations.batches import DROPPED, GOOD, Looker, RecordBatch
from gristmill.steps.conversations.findings import FIX, checks
from gristmill.steps.conversations.records import RawRecord

PIECES = st.sampled_from(
    [
        *("<image>", "<video>", "<img>", "\n", " ", "", "a", "Is it?", "sa_12345", "[0.5, 0.2, 0.1, 0.3]"),
        *("</s>", "<|im_end|>", "[INST]", "USER: ", "### Human:", "â€™", "Ã©", "Ã", "Â", "\0", "\ud83d"),
        *("It is red. " * 5, "The kite flies over the field, and the boys run below it. " * 2),
    ]
)
TEXT = st.lists(PIECES, max_size=5).map("".join)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just({}), st.just([]), st.just([[]]), st.just({"a": [1]})
)
PATH = st.sampled_from(
    ["p.jpg", "a/b.jpg", "a\\b.jpg", "/a.jpg", "../a.jpg", "", "http://h/a.jpg", "data:image/png,", "C:\\a"]
)
PART = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.just({"type": "image"}),
    st.builds(lambda path: {"type": "image", "image": path}, PATH),
    st.builds(lambda path: {"type": "image_url", "image_url": {"url": path}}, PATH),
    ODD,
)
VALUE = st.one_of(TEXT, TEXT, TEXT, st.lists(PART, max_size=3), ODD)
ROLE = st.one_of(
    st.sampled_from(["human", "gpt", "user", "assistant", "system", "tool", "bard", "Human"]), ODD
)
TURN = st.one_of(
    st.builds(lambda role, value: {"from": role, "value": value}, ROLE, VALUE),
    st.builds(lambda role, value: {"role": role, "content": value}, ROLE, VALUE),
    ODD,
)
MEDIA = st.one_of(
    PATH, st.lists(st.one_of(PATH, st.builds(lambda p: {"path": p}, PATH), ODD), max_size=3), ODD
)
ROW = st.one_of(
    st.fixed_dictionaries(
        {"id": st.one_of(TEXT, ODD)},
        optional={
            "conversations": st.lists(TURN, max_size=5),
            "messages": st.lists(TURN, max_size=5),
            "image": MEDIA,
            "images": MEDIA,
            "video": MEDIA,
            "width": st.integers(),
            "height": st.integers(),
            "bbox": st.one_of(ODD, st.lists(st.lists(st.integers(), min_size=4, max_size=4), max_size=2)),
        },
    ),
    st.fixed_dictionaries({"query": VALUE, "response": VALUE, "image": MEDIA}),
    st.fixed_dictionaries({"prompt": st.lists(TURN, max_size=2), "completion": st.lists(TURN, max_size=2)}),
)


def mends_once(row, everything):
    """As the checks themselves say, or with everything mended that can be: what comes out is good, or was dropped."""
    mending = {code: FIX for code, check in checks().items() if check.mend} if everything else {}
    text = json.dumps(row).encode()
    looked = Looker(mending, None, writing=True).look(RecordBatch(0, [RawRecord(text)]))
    if looked.outcomes[0] == DROPPED:
        assert looked.lines == [None]
        return
    mended = looked.lines[0]
    again = Looker(mending, None, writing=True).look(RecordBatch(0, [RawRecord(mended)]))
    assert ([one.code for _, one in again.findings if one.action == FIX], again.outcomes[0]) == ([], GOOD)
    assert again.lines == [mended]
    if looked.outcomes[0] == GOOD:
        assert json.loads(mended) == row


@settings(max_examples=300)
@given(row=ROW, everything=st.booleans())
def test_what_was_mended_needs_no_mending_again(row, everything):
    mends_once(row, everything)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=8000, derandomize=False)
@given(row=ROW, everything=st.booleans())
def test_what_was_mended_needs_no_mending_again_battery(row, everything):
    """Other examples on each run."""
    mends_once(row, everything)
