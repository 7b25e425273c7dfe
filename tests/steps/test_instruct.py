"""Instructions before questions, drawn where there are none; dialogues out of questions."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.spec.errors import SourceError
from gristmill.spec.sample import Sample, Show, Text, Turn
from gristmill.steps.instruct import Instruct, dialogue

TALK = "Go on. Image Descriptions: A dog."
TALK += "\nQuestion: Big?\nAnswer: No.\nQuestion: Brown?\nAnswer: Yes.\nQuestion: Asleep?"


def sample(inputs: str = "What is it?", instruction: str | None = "Answer: ", key: str = "k_1") -> Sample:
    asked = (Show(media="000"), *((Text(text=inputs),) if inputs else ()))
    answer = Turn(role="assistant", parts=(Text(text="A dog."),))
    return Sample(
        key=key, turns=(Turn(role="user", parts=asked), answer), columns={"instruction": instruction}
    )


def question(made: Sample) -> str:
    return made.turns[0].parts[-1].text


def test_nothing_stands_between_unless_asked():
    assert question(Instruct().apply(sample())) == "Answer: What is it?"
    assert question(Instruct(separator="\n").apply(sample())) == "Answer: \nWhat is it?"
    assert question(Instruct(separator="\n").apply(sample(inputs=""))) == "Answer: "
    assert Instruct().apply(sample()).columns == {}


def test_pictures_stay_before_the_text():
    made = Instruct().apply(sample())
    assert made.turns[0].parts[0] == Show(media="000")
    assert made.turns[1].role == "assistant"


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "instructions.json"
    path.write_text(json.dumps([f"prompt {n} " for n in range(7)]))
    return {"instructions": (path,)}


def test_the_draw_depends_on_key_and_seed_alone(prompts):
    step = Instruct().with_aux(prompts)
    assert (
        step.identity() == Instruct().identity()
    )  # the list's digest is in the task's identity, not the step's
    drawn = [step.apply(sample(instruction=None, key=f"k_{n}")).columns["instruction"] for n in range(100)]
    again = [
        step.apply(sample(instruction=None, key=f"k_{n}")).columns["instruction"]
        for n in reversed(range(100))
    ]
    assert drawn == again[::-1]
    assert len(set(drawn)) == 7
    other = Instruct(seed=2).with_aux(prompts)
    assert drawn != [
        other.apply(sample(instruction=None, key=f"k_{n}")).columns["instruction"] for n in range(100)
    ]
    assert question(step.apply(sample(instruction=None))) == drawn[1] + "What is it?"


def test_a_draw_without_a_list_says_what_to_give():
    with pytest.raises(SourceError, match="--source instructions=FILE"):
        Instruct().apply(sample(instruction=None))


@pytest.mark.parametrize("text", ["", "{}", "[]", '["a", 1]', '["a", " "]', '[["a"]]'])
def test_a_list_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "instruction.json"
    path.write_text(text)
    with pytest.raises(
        SourceError, match=r"expected a JSON list of texts.*--source instructions=FILE --out DIR"
    ):
        Instruct().with_aux({"instructions": (path,)})


def test_a_quoted_dialogue_becomes_turns():
    made = Instruct().apply(sample(inputs=TALK.removeprefix("Go on. "), instruction="Go on. "))
    said = [(turn.role, [getattr(p, "text", "picture") for p in turn.parts]) for turn in made.turns]
    assert said == [
        ("user", ["picture", "Big?"]),
        ("assistant", ["No."]),
        ("user", ["Brown?"]),
        ("assistant", ["Yes."]),
        ("user", ["Asleep?"]),
        ("assistant", ["A dog."]),
    ]
    assert made.columns == {"dialogue_context": "Go on. Image Descriptions: A dog."}
    plain = Instruct(dialogues=False).apply(sample(inputs=TALK))
    assert len(plain.turns) == 2
    assert question(plain) == "Answer: " + TALK


def test_other_questions_stay_one_turn():
    inputs = TALK.replace("Image Descriptions", "Descriptions")
    assert len(Instruct().apply(sample(inputs=inputs)).turns) == 2


@pytest.mark.parametrize(
    "text",
    [
        "no question",
        "c\nQuestion: a\nQuestion: b",
        "c\nQuestion: a\nAnswer: b\nAnswer: c\nQuestion: d",
        "c\nQuestion: a\nAnswer: b",
        "c\nQuestion: a\nAnswer: \nQuestion: d",
        "c\nQuestion: ",
    ],
)
def test_what_the_loader_would_stop_on_is_no_dialogue(text):
    assert dialogue(text) is None


@given(
    st.lists(st.text("ab:\nQA ", max_size=6) | st.sampled_from(["\nQuestion: ", "\nAnswer: "]), max_size=9)
)
def test_a_dialogue_is_its_text_again(pieces):
    text = "".join(pieces)
    found = dialogue(text)
    if found is None:
        return
    context, said = found
    assert len(said) % 2 == 1
    pairs = zip(said[:-1:2], said[1::2], strict=True)
    again = context + "".join(f"\nQuestion: {q}\nAnswer: {a}" for q, a in pairs) + f"\nQuestion: {said[-1]}"
    assert again == text
    # the loader's own cuts give the same
    for n, piece in enumerate(text.split("\nQuestion: ")[1:]):
        assert piece.split("\nAnswer: ") == said[2 * n : 2 * n + 2]
