"""The step finds in samples what the command finds in files, and names in a column what it did."""

import pytest

from gristmill.spec.errors import UnknownName, UsageError
from gristmill.spec.locator import Member
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Sample, Show, Text, Turn
from gristmill.steps.check import CheckConversations


def sample(*turns, media=("000",), **columns):
    """Turns as (role, part, ...); a part that is a medium's name shows it."""
    return Sample(
        key="k",
        media={name: MediaRef(at=Member("coco", f"train2017/{name}.jpg")) for name in media},
        turns=tuple(
            Turn(role=role, parts=tuple(Show(media=p) if p in media else Text(text=p) for p in parts))
            for role, *parts in turns
        ),
        columns=columns,
    )


GOOD = sample(("human", "000", "\nWhat is it?"), ("gpt", "A cup."))


def test_a_good_sample_is_left_alone():
    assert CheckConversations().apply(GOOD) == sample(*[(t.role, *_parts(t)) for t in GOOD.turns], changes=[])
    caption = sample(("caption", "000", "a cup"))
    assert CheckConversations().apply(caption).turns == caption.turns


def _parts(turn):
    return [part.media if isinstance(part, Show) else part.text for part in turn.parts]


@pytest.mark.parametrize(
    ("before", "turns", "changes"),
    [
        (
            sample(("gpt", "Hello."), *[("human", "000", "a"), ("gpt", "b")]),
            [("human", "000", "a"), ("gpt", "b")],
            ["first_not_user_fixed"],
        ),
        (
            sample(("user", "000"), ("user", "a"), ("assistant", "see <image>"), ("user", "c")),
            [("user", "000", "a"), ("assistant", "see <IMAGE>")],
            ["role_doubled_fixed", "ends_with_user_fixed", "tag_literal_fixed"],
        ),
        (
            sample(("system", "s"), ("user", "000", "[0.1, 0.2, 0.3, 0.4]"), ("assistant", "donâ€™t</s>")),
            [("system", "s"), ("user", "000", "[0.1, 0.2, 0.3, 0.4]"), ("assistant", "don’t")],
            ["system_turn_kept", "control_text_fixed", "mojibake_fixed", "boxes_kept"],
        ),
    ],
)
def test_what_is_mended_or_kept_is_named(before, turns, changes):
    after = CheckConversations().apply(before)
    assert [(turn.role, *_parts(turn)) for turn in after.turns] == turns
    assert after.columns["changes"] == changes
    assert after.media == before.media


def test_media_of_turns_that_are_taken_out_go_with_them():
    before = sample(("user", "000", "a"), ("assistant", "b"), ("user", "001", "c"), media=("000", "001"))
    assert list(CheckConversations().apply(before).media) == ["000"]


@pytest.mark.parametrize(
    ("before", "reason", "detail"),
    [
        (sample(("user", "a")), Reason.BAD_TURNS, "no_turns: only of user"),
        (sample(("user", "000", "a"), ("assistant", "000")), Reason.TAG_MISMATCH, "tag_in_answer: 1 parts"),
        (sample(("user", "a"), ("assistant", "b")), Reason.TAG_MISMATCH, "tags_few"),
        (sample(("user", "000"), ("assistant", "It is sa_12345.")), Reason.FILE_ID, "file_id: sa_12345"),
        (sample(("user", "000"), ("assistant", "a USER: b")), Reason.CONTROL_TEXT, "control_text: USER:"),
    ],
)
def test_what_cannot_be_mended_is_dropped(before, reason, detail):
    found = CheckConversations().apply(before)
    assert isinstance(found, Drop)
    assert (found.reason, found.detail[: len(detail)]) == (reason, detail)
    assert reason in CheckConversations.drops


def test_each_code_can_be_set():
    step = CheckConversations(drop=("system_turn",), keep=("file_id",))
    system = sample(("system", "s"), ("user", "000"), ("assistant", "b"))
    assert step.apply(system) == Drop(reason=Reason.BAD_TURNS, detail="system_turn: s")
    named = sample(("user", "000"), ("assistant", "It is sa_12345."))
    assert step.apply(named).columns["changes"] == ["file_id_kept"]
    assert CheckConversations(fix=("system_turn",)).apply(system).turns == system.turns[1:]
    with pytest.raises(UnknownName):
        CheckConversations(drop=("systemturn",))
    with pytest.raises(UsageError, match="name a code in one"):
        CheckConversations(drop=("file_id",), keep=("file_id",))
