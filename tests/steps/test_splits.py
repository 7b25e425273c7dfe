import pytest

from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Sample
from gristmill.steps.splits import Splits


@pytest.mark.parametrize(
    ("split", "keep", "kept"),
    [
        ("train", ("train",), True),
        (None, ("train",), True),
        ("val", ("train",), False),
        ("val", ("train", "val"), True),
    ],
)
def test_a_split_that_is_not_named_stays_out(split, keep, kept):
    sample = Sample(key="a", columns={"split": split})
    outcome = Splits(keep=keep).apply(sample)
    assert outcome == (sample if kept else Drop(reason=Reason.OTHER_SPLIT, detail=str(split)))
