"""Two rows of one key: the first stays, the other is a counted drop."""

from __future__ import annotations

from gristmill.run.stages.samples import RowState, _drop_repeated_keys
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Sample


def test_the_first_of_a_key_stays() -> None:
    gone = Drop(reason=Reason.BAD_ROW)
    states = [
        RowState(0, 0, Sample(key="a"), gone),  # was dropped before, so its key is free
        RowState(1, 1, Sample(key="a")),
        RowState(2, 2, Sample(key="b")),
        RowState(3, 3, Sample(key="a")),
    ]
    _drop_repeated_keys(states)
    assert [one.drop.reason if one.drop else None for one in states] == [
        Reason.BAD_ROW,
        None,
        None,
        Reason.DUPLICATE_KEY,
    ]
