"""Each check by an example that fails it and one that does not; what is mended is as said, and then finds nothing."""

import copy
import json

import pytest

from gristmill.spec.errors import UnknownName, UsageError
from gristmill.steps.conversations.conversation import MediumFact, key_of
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, checks, found_in
from gristmill.steps.conversations.shapes import conversation_of, row_of

GOOD = {
    "id": "a1",
    "image": "coco/a1.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat is on the table?"},
        {"from": "gpt", "value": "A cup."},
        {"from": "human", "value": "Is it full?"},
        {"from": "gpt", "value": "No."},
    ],
}
LONG = "The kite is above the field. A boy holds the line with both hands. " * 2


def llava(*texts, first="human", **more):
    """A record of these texts in turn; ``more`` are its other keys."""
    others = {"human": "gpt", "gpt": "human"}
    turns, role = [], first
    for text in texts:
        turns.append({"from": role, "value": text})
        role = others[role]
    return {"id": "x", **more, "conversations": turns}


def messages(*turns, **more):
    return {"id": "x", "messages": [{"role": role, "content": content} for role, content in turns], **more}


def look(row, facts=None, **settings):
    """The findings of a record as (code, action), and the record as it is afterwards."""
    row = copy.deepcopy(row)
    record = conversation_of(row)
    assert not isinstance(record, str), record
    record.facts = facts
    found = [(one.code, one.action) for one in found_in(record, Actions(settings))]
    return found, row_of(record)


def said(row):
    """Roles and texts of a record's turns."""
    turns = row.get("conversations") or row.get("messages")
    return [
        (turn.get("from") or turn.get("role"), turn.get("value") or turn.get("content")) for turn in turns
    ]


def test_a_good_record_is_left_alone():
    assert look(GOOD) == ([], GOOD)


# code, a record that fails it, what becomes of its turns where it is mended (None: it is dropped or kept)
CASES = [
    (
        "role_unknown",
        {**llava("a"), "conversations": [{"from": "human", "value": "a"}, {"from": "bard", "value": "b"}]},
        [("human", "a"), ("gpt", "b")],
    ),
    ("system_late", messages(("user", "a"), ("system", "b"), ("assistant", "c")), None),
    ("system_turn", messages(("system", "a"), ("user", "b"), ("assistant", "c")), None),
    ("turn_empty", llava("a", "b", "c", " \n"), [("human", "a"), ("gpt", "b")]),
    ("turn_empty", llava("", "b", "c", "d"), [("human", "c"), ("gpt", "d")]),
    ("turn_empty", llava("<image>\na", "", "c", "d", image="p"), None),
    ("first_not_user", llava("a", "b", "c", first="gpt"), [("human", "b"), ("gpt", "c")]),
    (
        "role_doubled",
        messages(("user", "a"), ("user", "b"), ("assistant", "c")),
        [("user", "a\nb"), ("assistant", "c")],
    ),
    (
        "role_doubled",
        messages(("user", "a"), ("assistant", "b"), ("assistant", "c"), ("assistant", "d")),
        [("user", "a"), ("assistant", "b\nc\nd")],
    ),
    ("ends_with_user", llava("a", "b", "c"), [("human", "a"), ("gpt", "b")]),
    ("no_turns", llava("a"), None),
    ("no_turns", llava(), None),
    (
        "tag_literal",
        llava("What does <image> mean?", "A picture."),
        [("human", "What does <IMAGE> mean?"), ("gpt", "A picture.")],
    ),
    (
        "tag_literal",
        messages(("user", [{"type": "text", "text": "See <video>"}]), ("assistant", "Yes.")),
        [("user", [{"type": "text", "text": "See <VIDEO>"}]), ("assistant", "Yes.")],
    ),
    ("tags_missing", llava("a", "b", image=["p", "q"]), [("human", "<image>\n<image>\na"), ("gpt", "b")]),
    ("tags_missing", llava("a", "b", image="p", video="v"), [("human", "<image>\n<video>\na"), ("gpt", "b")]),
    ("tags_few", llava("<image>\na", "b", image=["p", "q"]), None),
    (
        "tags_few",
        messages(
            ("user", [{"type": "image"}, {"type": "text", "text": "a"}]),
            ("assistant", "b"),
            images=["p", "q"],
        ),
        None,
    ),
    ("tags_many", llava("<image><image>\na", "b", image="p"), None),
    (
        "tags_many",
        messages(("user", [{"type": "image"}, {"type": "text", "text": "a"}]), ("assistant", "b")),
        None,
    ),
    (
        "tag_in_answer",
        llava("<image>\na", "It says <image>.", image="p"),
        [("human", "<image>\na"), ("gpt", "It says <IMAGE>.")],
    ),
    ("tag_in_answer", llava("a", "<image> it is", image="p"), None),
    ("tag_in_system", messages(("system", "<image>"), ("user", "b"), ("assistant", "c"), images=["p"]), None),
    ("tag_kind", llava("<image>\na", "b", video="v"), None),
    ("tag_inside", llava("Is <image> red?", "b", image="p"), None),
    ("tag_foreign", llava("<IMG_CONTEXT>a", "b"), None),
    ("control_text", llava("a", "b</s>\n"), [("human", "a"), ("gpt", "b")]),
    ("control_text", llava("Write <|im_end|> now", "b"), [("human", "Write < |im_end|> now"), ("gpt", "b")]),
    ("control_text", llava("a [INST] b", "c"), [("human", "a [ INST] b"), ("gpt", "c")]),
    ("control_text", llava("a", "b USER: c ASSISTANT: d"), None),
    ("bad_characters", llava("a\0", "b\ud83d"), [("human", "a\ufffd"), ("gpt", "b\ufffd")]),
    ("lost_characters", llava("caf\ufffd", "b"), None),
    ("mojibake", llava("Itâ€™s a cafÃ©.", "ðŸ˜€"), [("human", "It’s a café."), ("gpt", "😀")]),
    ("file_id", llava("<image>\na", "The picture sa_545504 shows a dog.", image="p"), None),
    ("file_id", llava("<image>\na", "This is 0004142 by name.", image="d/0004142.jpg"), None),
    ("answer_repeats", llava("a", LONG + LONG), None),
    ("answer_repeats", llava("a", "It is a " + "very nice " * 40 + "very nice"), None),
    ("answer_cut_off", llava("a", LONG * 2 + "Behind the boy there is"), None),
    ("media_value", llava("a", "b", image=None), [("human", "a"), ("gpt", "b")]),
    ("media_value", llava("<image>\na", "b", image=""), None),
    ("path_escapes", llava("<image>\na", "b", image="a/../../p"), None),
    ("path_absolute", llava("<image>\na", "b", image="/data/p.jpg"), None),
    ("path_absolute", llava("<image>\na", "b", image="C:\\data\\p.jpg"), None),
    ("path_backslash", llava("<image>\na", "b", image="a\\p.jpg"), [("human", "<image>\na"), ("gpt", "b")]),
    ("path_box", llava("<image>\na", "b", image="p.jpg###[1, 2, 3, 4]"), None),
    ("path_remote", llava("<image>\na", "b", image="https://example.org/p.jpg"), None),
    ("boxes", llava("<image>\na", "[0.1, 0.2, 0.3, 0.4]", image="p"), None),
    ("box_bad", llava("<image>\na", "b", image="p", width=9, height=9, bbox=[[1, 1, 12, 3]]), None),
    ("box_reversed", llava("<image>\na", "[0.5, 0.2, 0.3, 0.4]", image="p"), None),
    ("id_missing", {"conversations": GOOD["conversations"], "image": "p"}, None),
    ("id_number", {**GOOD, "id": 7}, said(GOOD)),
]


@pytest.mark.parametrize(
    ("code", "row", "turns"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_what_each_check_finds_and_mends(code, row, turns):
    found, mended = look(row)
    actions = dict(found)
    assert code in actions
    if turns is None:
        assert actions[code] == (DROP if checks()[code].action == FIX else checks()[code].action)
        return
    assert (actions[code], said(mended)) == (FIX, turns)
    assert code not in dict(look(mended)[0])


def test_every_check_has_an_example():
    in_files = {check.code for check in checks().values() if check.of_file} - {"id_missing", "id_number"}
    assert {code for code, _, _ in CASES} == set(checks()) - in_files - {"not_a_conversation"}


GOOD_CASES = [
    llava("What is <b>bold</b> in a</s", "It is < s > and |im_end|."),
    llava("<image>", "A caption without a stop", image="p"),
    llava("<image>\nRead it.", "0 0 0 0 " * 40, image="p"),
    llava("a", "x" * 300),
    llava("Reply to USER:me", "Naïve façade, É» und «CAFÉ»."),
    llava("<video>\na", "b", video="v.mp4"),
    messages(
        ("user", "<image>a"), ("assistant", "b"), ("user", "<image>c"), ("assistant", "d"), images=["p", "q"]
    ),
    messages(("user", [{"type": "image"}, {"type": "text", "text": "a"}]), ("assistant", "b"), images=["p"]),
    messages(
        ("user", [{"type": "image_url", "image_url": {"url": "p"}}, {"type": "text", "text": "a"}]),
        ("assistant", "b"),
    ),
    messages(("user", [{"type": "image", "image": "p"}]), ("assistant", [{"type": "text", "text": "b"}])),
    messages(("user", "a"), ("assistant", None), ("tool", "3"), ("assistant", "b")),
    messages(("user", "<video>a"), ("assistant", "b"), videos=[["f0.jpg", "f1.jpg"]]),
    messages(("pretrain", "a text")),
    {"id": "x", "query": "a", "response": "b"},
    {"id": "x", "instruction": "a", "input": "b", "output": "c"},
    {
        "id": "x",
        "prompt": [{"role": "user", "content": "a"}],
        "completion": [{"role": "assistant", "content": "b"}],
    },
    {"id": "x", "QA": [{"q": "a", "a": "b"}]},
]


@pytest.mark.parametrize("row", GOOD_CASES, ids=range(len(GOOD_CASES)))
def test_what_no_check_finds(row):
    found, after = look(row)
    assert [code for code, action in found if action != KEEP] == []
    assert after == row


@pytest.mark.parametrize(
    ("code", "row", "turns"),
    [
        (
            "system_turn",
            messages(("system", "a"), ("user", "b"), ("assistant", "c")),
            [("user", "b"), ("assistant", "c")],
        ),
        (
            "system_late",
            messages(("user", "a"), ("system", "b"), ("assistant", "c")),
            [("user", "a"), ("assistant", "c")],
        ),
        (
            "tag_in_system",
            messages(("system", "See <image>"), ("user", "b"), ("assistant", "c"), images=["p"]),
            [("system", "See "), ("user", "<image>\nb"), ("assistant", "c")],
        ),
        ("tag_kind", llava("<image>\na", "b", video="v"), [("human", "<video>\na"), ("gpt", "b")]),
        (
            "answer_cut_off",
            llava("a", LONG * 2 + "Behind the"),
            [("human", "a"), ("gpt", (LONG * 2).strip())],
        ),
    ],
)
def test_what_is_mended_if_somebody_says_so(code, row, turns):
    found, mended = look(row, **{code: FIX})
    assert (dict(found)[code], said(mended)) == (FIX, turns)


def test_parts_are_joined_with_their_media():
    row = messages(
        ("user", [{"type": "image", "image": "p"}, {"type": "text", "text": "a"}]),
        ("user", [{"type": "text", "text": "b"}]),
        ("assistant", "c"),
    )
    found, mended = look(row)
    assert found == [("role_doubled", FIX)]
    assert [part.get("text") for part in mended["messages"][0]["content"]] == [None, "a", "b"]
    text_and_parts = messages(("user", [{"type": "text", "text": "a"}]), ("user", "b"), ("assistant", "c"))
    assert look(text_and_parts)[0] == [("role_doubled", DROP)]


def test_two_columns_have_no_place_for_another_turn():
    assert dict(look({"id": "x", "query": "a", "response": " "})[0])["turn_empty"] == DROP


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        (MediumFact(), []),
        (MediumFact("media_missing"), [("media_missing", DROP)]),
        (MediumFact("media_empty"), [("media_empty", DROP)]),
        (MediumFact("media_undecodable", "cut"), [("media_undecodable", DROP)]),
        (MediumFact("media_other", "html"), [("media_other", DROP)]),
        (MediumFact("media_tiny", "1 x 1 px", 1, 1), [("media_tiny", DROP), ("size_differs", KEEP)]),
        (MediumFact("media_placeholder", "12 names"), [("media_placeholder", KEEP)]),
        (MediumFact("", "", 80, 60), [("size_differs", KEEP)]),
        (MediumFact("", "", 8, 6, 0, "coco/A1.jpg"), [("media_name", FIX)]),
    ],
)
def test_what_is_behind_a_path(fact, found):
    row = {**GOOD, "width": 8, "height": 6}
    seen, mended = look(row, {key_of("coco/a1.jpg"): fact})
    assert seen == found
    assert mended["image"] == (fact.name or "coco/a1.jpg")


def test_a_size_is_mended_if_somebody_says_so():
    _, mended = look(
        {**GOOD, "width": 8, "height": 6},
        {key_of("coco/a1.jpg"): MediumFact("", "", 80, 60)},
        size_differs=FIX,
    )
    assert (mended["width"], mended["height"]) == (80, 60)


def test_actions_are_checked():
    with pytest.raises(UnknownName, match="tag_inside"):
        Actions({"tag_insde": KEEP})
    with pytest.raises(UsageError, match="expected keep or drop"):
        Actions({"tags_few": FIX})
    with pytest.raises(UsageError, match="bad_json=keep: expected drop"):
        Actions({"bad_json": KEEP})
    with pytest.raises(UsageError, match="expected keep or fix or drop"):
        Actions({"mojibake": "mend"})
    assert Actions({"tags_few": KEEP}).on("tags_few").action == KEEP


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"text": "a"}, "no conversation among its keys: text"),
        ({}, "it has none"),
        ({"conversations": "a"}, "conversations is no list"),
        ({"conversations": ["a"]}, r"conversations\[0\] is no object"),
        ({"messages": [{"role": "user", "text": "a"}]}, r"messages\[0\] has neither"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "part 0 has no type"),
        ({"query": 3, "response": "b"}, "query is no text"),
        ({"QA": [{"q": "a"}]}, r"QA\[0\]"),
    ],
)
def test_what_is_no_conversation(row, why):
    import re

    assert re.search(why, conversation_of(json.loads(json.dumps(row))))
