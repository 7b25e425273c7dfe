"""Text hygiene: each finding has a rule, a reason and a word that is counted; clean text is left as it is."""

import pytest

from gristmill.shards.samples import decode_sample, encode_sample
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import CHANGES, Drop, MediaRef, Sample, Show, Text, Turn
from gristmill.steps.hygiene import TextHygiene


def sample(question="What is it?", answer="A cat.", **more) -> Sample:
    picture = Show(media="000.jpg")
    return Sample(
        key="k",
        media={"000.jpg": MediaRef()},
        turns=(
            Turn(role="user", parts=(picture, Text(text=question))),
            Turn(role="assistant", parts=(Text(text=answer),)),
        ),
        **more,
    )


def texts(outcome) -> list[str]:
    return [part.text for turn in outcome.turns for part in turn.parts if isinstance(part, Text)]


@pytest.mark.parametrize(
    "text", ["plain", "<img> <Image> image>", "naïve 🐈 \N{REPLACEMENT CHARACTER}", "a\tb\n"]
)
def test_clean_text_stays_and_nothing_is_named(text):
    before = sample(text, text)
    after = TextHygiene().apply(before)
    assert after.turns is before.turns
    assert after.columns == {CHANGES: []}


def test_media_tokens_are_neutralised_and_named():
    after = TextHygiene().apply(sample("see <image> and <image>", "<video>"))
    assert texts(after) == ["see <IMAGE> and <IMAGE>", "<VIDEO>"]
    assert after.columns[CHANGES] == [
        "media_token_neutralised_in_question",
        "media_token_neutralised_in_answer",
    ]
    assert after.turns[0].parts[0] == Show(media="000.jpg")


def test_bad_characters_are_replaced_and_the_sample_survives_its_file():
    after = TextHygiene().apply(sample("a\0b", "half \ud83d pair \udc00"))
    assert texts(after) == ["a\ufffdb", "half \ufffd pair \ufffd"]
    assert after.columns[CHANGES] == [
        "bad_characters_neutralised_in_question",
        "bad_characters_neutralised_in_answer",
    ]
    assert texts(decode_sample(encode_sample(after))) == texts(after)


@pytest.mark.parametrize(
    ("question", "answer", "reason", "detail"),
    [
        ("", "a", Reason.EMPTY_QUESTION, "question"),
        (" \n\0", "a", Reason.EMPTY_QUESTION, "question"),
        ("q", "\u3000\t", Reason.EMPTY_ANSWER, "answer"),
        ("q", "x" * 11, Reason.TEXT_TOO_LONG, "answer: 11 characters"),
        ("x" * 21, "a", Reason.TEXT_TOO_LONG, "question: 21 characters"),
        ("q <image>", "a", Reason.MEDIA_TOKEN, "question: <image>"),
        ("q", "a\0", Reason.BAD_CHARACTERS, "answer"),
    ],
)
def test_every_finding_can_cost_the_sample_or_be_kept_and_counted(question, answer, reason, detail):
    limits = {"max_question_chars": 20, "max_answer_chars": 10}
    strict = TextHygiene(media_tokens="drop", bad_characters="drop", **limits)
    assert strict.apply(sample(question, answer)) == Drop(reason=reason, detail=detail)
    assert reason in TextHygiene.drops
    lenient = TextHygiene(media_tokens="keep", bad_characters="keep", empty="keep", long="keep", **limits)
    kept = lenient.apply(sample(question, answer))
    assert texts(kept) == [question, answer]
    assert all("_kept_in_" in word for word in kept.columns[CHANGES])


def test_text_of_exactly_the_limit_stays():
    assert TextHygiene(max_answer_chars=6).apply(sample()).turns == sample().turns


def test_what_earlier_steps_changed_stays_named():
    after = TextHygiene().apply(sample("<image>", columns={CHANGES: ["marks_taken_out"], "n": 1}))
    assert after.columns == {CHANGES: ["marks_taken_out", "media_token_neutralised_in_question"], "n": 1}


def test_the_context_of_a_dialogue_is_looked_at_like_a_question():
    context = {"dialogue_context": "Image Descriptions: a <image>\0"}
    after = TextHygiene().apply(sample(columns=context))
    assert after.columns["dialogue_context"] == "Image Descriptions: a <IMAGE>\ufffd"
    assert after.columns[CHANGES] == [
        "bad_characters_neutralised_in_question",
        "media_token_neutralised_in_question",
    ]
    assert texts(after) == texts(sample())
    strict = TextHygiene(max_question_chars=20)
    assert strict.apply(sample("q", columns=context)).reason == Reason.TEXT_TOO_LONG
    assert TextHygiene().apply(sample(columns={"dialogue_context": " "})).columns[CHANGES] == []


def test_captions_and_documents_have_no_question_but_may_hold_tokens():
    turn = Turn(role="document", parts=(Text(text=""), Text(text="a <image> b")))
    after = TextHygiene(max_question_chars=1, max_answer_chars=1).apply(Sample(key="k", turns=(turn,)))
    assert texts(after) == ["", "a <IMAGE> b"]
    assert after.columns[CHANGES] == ["media_token_neutralised_in_document"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"empty": "neutralise"},
        {"media_tokens": "remove"},
        {"tokens": ("<IMG>",)},
        {"max_question_chars": 0},
        {"max_answer_chars": -1},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(UsageError, match=rf"hygiene\.{next(iter(wrong))}"):
        TextHygiene(**wrong)
