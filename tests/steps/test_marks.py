"""Calculator marks in answers."""

from gristmill.spec.sample import Sample, Text, Turn
from gristmill.steps.marks import CalculatorMarks

SAMPLE = Sample(
    key="a",
    turns=(
        Turn(role="user", parts=(Text(text="What is <<a mark>>?"),)),
        Turn(
            role="assistant", parts=(Text(text="48/2 = <<48/2=24>>24, 1 << 2 and 3 >> 1, $<<1.5*2=3.0>>3"),)
        ),
    ),
)


def test_marks_stay_unless_asked():
    assert CalculatorMarks().apply(SAMPLE) is SAMPLE


def test_marks_alone_are_taken_out_of_answers_alone():
    stripped = CalculatorMarks(strip_marks=True).apply(SAMPLE)
    assert stripped.turns[0] == SAMPLE.turns[0]
    assert stripped.turns[1].parts == (Text(text="48/2 = 24, 1 << 2 and 3 >> 1, $3"),)
