"""Records of LLaVA's form: pictures in their places, and records that would stop a trainer."""

import pytest

from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.spec.locator import Member
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Show
from gristmill.steps.check import CheckConversations

PARSE = LlavaRecords(
    place=InFamilies((Family(prefix="coco/", source="coco"), Family(prefix="sam/images/", source="sam")))
)


def record(*texts: str, **more):
    """Turns of human and gpt in turn, and other fields."""
    roles = ("human", "gpt")
    return {
        "conversations": [{"from": roles[n % 2], "value": text} for n, text in enumerate(texts)],
        **more,
    }


def said(sample) -> list[tuple[str, list[str]]]:
    """Roles, and parts with media by name in brackets."""
    return [
        (turn.role, [f"[{p.media}]" if isinstance(p, Show) else p.text for p in turn.parts])
        for turn in sample.turns
    ]


def test_a_picture_stands_where_its_token_did_and_is_found_in_its_family():
    sample = PARSE(record("<image>\nWhat is it?", " A kite.\n", image="coco/train2017/000000000009.jpg"))
    assert said(sample) == [("user", ["[000]", "What is it?"]), ("assistant", [" A kite.\n"])]
    assert sample.media["000"].at == Member("coco", "train2017/000000000009.jpg")
    assert not sample.columns
    behind = PARSE(record("What is it? \n<image>", "A kite.", image="sam/images/sa_1.jpg"))
    assert said(behind)[0] == ("user", ["What is it?", "[000]"])
    assert behind.media["000"].at == Member("sam", "sa_1.jpg")


def test_several_pictures_keep_their_order_over_all_turns():
    sample = PARSE(
        record(
            "<image> or <image>?", "The first.", "And <image>?", "No.", image=[f"coco/{n}.jpg" for n in "abc"]
        )
    )
    assert said(sample)[0] == ("user", ["[000]", "or", "[001]", "?"])
    assert said(sample)[2] == ("user", ["And", "[002]", "?"])
    assert [ref.at.path for ref in sample.media.values()] == ["a.jpg", "b.jpg", "c.jpg"]


def test_pictures_without_a_token_stand_before_the_first_question_and_that_is_said():
    asked = {"from": "system", "value": "Be brief."}
    row = record("What?", "A kite.", image=["coco/a.jpg", "coco/b.jpg"])
    sample = PARSE({**row, "conversations": [asked, *row["conversations"]]})
    assert said(sample)[:2] == [("system", ["Be brief."]), ("user", ["[000]", "[001]", "What?"])]
    assert sample.columns == {"changes": ["token_added"]}


def test_text_that_speaks_of_the_token_is_text():
    sample = PARSE(record("What does <image> mean in that file?", "<image> is a place."))
    assert said(sample) == [
        ("user", ["What does <image> mean in that file?"]),
        ("assistant", ["<image> is a place."]),
    ]
    assert not sample.media


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (record("<image><image> What?", "A.", image="coco/a.jpg"), Reason.TAG_MISMATCH),
        (record("<image> What?", "A.", image=["coco/a.jpg", "coco/b.jpg"]), Reason.TAG_MISMATCH),
        (record("<image>\nWhat?", "A."), Reason.NO_IMAGE),
        (record("What?\n<video>", "A.", image=None), Reason.NO_IMAGE),
        (record("What?", "A.", image=""), Reason.BAD_ROW),
        (record("What?", "A.", image=7), Reason.BAD_ROW),
        (record("What?", "A.", image=["coco/a.jpg", None]), Reason.BAD_ROW),
        (record("What?", "A.", image="gqa/images/1.jpg"), Reason.NO_FILE),
        (record("What?", "A.", image="/etc/passwd"), Reason.BAD_PATH),
        (record("What?", "A.", image="coco/../../a.jpg"), Reason.BAD_PATH),
        (record("What?", "A.", image="coco\\..\\a.jpg"), Reason.BAD_PATH),
        (record("What?", "A.", image="C:/a.jpg"), Reason.BAD_PATH),
        (record("What?", "A.", image="https://a.test/coco/a.jpg"), Reason.BAD_PATH),
        ({"image": "coco/a.jpg"}, Reason.BAD_ROW),
        ({"conversations": []}, Reason.BAD_ROW),
        ({"conversations": ["What?"]}, Reason.BAD_ROW),
        ({"conversations": [{"from": "gpt", "value": "A."}]}, Reason.BAD_TURNS),
        ({"conversations": [{"from": "human", "value": None}]}, Reason.BAD_ROW),
        ({"conversations": [{"from": "tool", "value": "a"}]}, Reason.BAD_TURNS),
        (record("What?"), Reason.EMPTY_ANSWER),
    ],
)
def test_what_would_stop_a_trainer_is_a_counted_drop(row, reason):
    drop = PARSE(row)
    assert isinstance(drop, Drop)
    assert drop.reason is reason
    assert drop.detail


def test_roles_out_of_order_are_left_to_the_check():
    first = {"from": "gpt", "value": "Hello."}
    row = record("<image>\nWhat?", "A kite.", "And?", image="coco/a.jpg")
    sample = PARSE({**row, "conversations": [first, *row["conversations"]]})
    assert [role for role, _ in said(sample)] == ["assistant", "user", "assistant", "user"]
    mended = CheckConversations().apply(sample)
    assert said(mended) == [("user", ["[000]", "What?"]), ("assistant", ["A kite."])]
    assert mended.columns == {"changes": ["first_not_user_fixed", "ends_with_user_fixed"]}
    other = CheckConversations().apply(
        PARSE({"conversations": [{"from": "human", "value": "a"}, {"from": "oracle", "value": "b"}]})
    )
    assert other.reason is Reason.BAD_TURNS


def test_videos_have_a_field_and_a_token_of_their_own():
    parse = LlavaRecords(place=InFamilies((Family(prefix="", source="clips", lead="v/"),)), kind="video")
    sample = parse(record("<video>\nWhat happens?", "Rain.", video="a.mp4"))
    assert said(sample)[0] == ("user", ["[000]", "What happens?"])
    assert (sample.media["000"].kind, sample.media["000"].at) == ("video", Member("clips", "v/a.mp4"))
