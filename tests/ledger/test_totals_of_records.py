"""Sums over records add up, retries included."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gristmill.ledger.funnel import funnel
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import total
from gristmill.spec.task import TaskRecord

REASONS = ("http_404", "http_5xx", "reset", "deadline")


def record(
    stage: str, number: tuple[int, int, int], kept: int, dropped: dict[str, int], **more
) -> TaskRecord:
    return TaskRecord(
        task_id=f"{stage}-{number}",
        stage=stage,
        number=number,
        outputs=(),
        samples_in=kept + sum(dropped.values()),
        kept=kept,
        dropped=dropped,
        **more,
    )


def test_a_retry_takes_its_samples_over():
    records = [
        record("samples", (1, 0, 0), 2, {"reset": 1}, retried={"http_5xx": 3}),
        record("samples", (0, 0, 0), 5, {"http_5xx": 3, "http_404": 1}, facts={"requests": 10}),
        record("samples", (2, 0, 0), 1, {}, retried={"reset": 1}, facts={"requests": 2}),
        record("samples", (0, 0, 1), 4, {"reset": 2}),
    ]
    sums = total(records).stage("samples")
    assert (sums.samples_in, sums.kept) == (15, 12)
    assert sums.dropped == {"http_404": 1, "reset": 2}
    assert sums.facts["requests"] == 12
    assert sums.tasks == 4


def test_whatever_stage_takes_samples_out_is_in_the_funnel():
    records = [
        record("rows", (0, 0, 0), 10, {"not_selected": 90}, account="reading"),
        record("samples", (0, 0, 0), 7, {"http_404": 3}, account="making"),
        record("screen", (0, 0, 0), 6, {"same_picture": 1}, account="judging"),
        record("somebody's own", (0, 0, 0), 4, {"same_picture": 1, "too_small": 1}, account="judging"),
        record("only told", (0, 0, 0), 100, {}),
    ]
    totals = total(records)
    assert totals.of("judging").dropped == {"same_picture": 2, "too_small": 1}
    levels = funnel(totals, RunConfig(recipe="r", name="r", version="1", identity={}, inputs=(), asks=True))
    assert [level.count for level in levels.levels] == [100, 10, 10, 7, 4, 0]
    assert levels.adds_up
    assert levels.dropped(after_selection=True) == {"http_404": 3, "same_picture": 2, "too_small": 1}


def test_what_was_said_is_said_once_and_times_span_all():
    records = [
        record(
            "rows", (0, n, 0), 1, {}, notes=("few pass",), seconds=5.0, finished_at=100.0 + n, hosts={"a": 2}
        )
        for n in range(3)
    ]
    totals = total(records)
    assert totals.notes == ["few pass"]
    assert (totals.started_at, totals.finished_at) == (95.0, 102.0)
    assert totals.hosts == {"a": 6}
    assert totals.stage("rows").seconds == 15.0
    assert totals.stage("pack").samples_in == 0


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[TaskRecord], int, Counter[str]]:
    """Records of some tasks and of retries over them; with them the rows there are and what still fails."""
    records, rows, failing_in_all = [], 0, Counter[str]()
    for position in range(draw(st.integers(1, 3))):
        fates = draw(st.lists(st.sampled_from((None, *REASONS)), max_size=12))
        rows += len(fates)
        for round_ in range(draw(st.integers(1, 3))):
            retried = Counter[str]()
            asked = list(range(len(fates)))
            if round_:
                reasons = draw(st.sets(st.sampled_from(REASONS)))
                asked = [i for i, fate in enumerate(fates) if fate in reasons]
                retried = Counter(fates[i] for i in asked)
                for i in asked:
                    fates[i] = draw(st.sampled_from((None, *REASONS)))
            now = Counter(fates[i] for i in asked)
            kept = now.pop(None, 0)
            records.append(record("samples", (round_, position, 0), kept, dict(now), retried=dict(retried)))
        failing_in_all.update(fate for fate in fates if fate is not None)
    return draw(st.permutations(records)), rows, failing_in_all


@given(histories())
def test_totals_add_up_to_the_rows_whatever_was_retried(history):
    records, rows, failing = history
    sums = total(records).stage("samples")
    assert sums.samples_in == rows
    assert sums.dropped == failing
    assert sums.kept == rows - failing.total()


def test_the_time_between_two_runs_is_nobodys_work():
    spans = {
        (0, 0, 0): (100.0, 110.0),
        (0, 0, 1): (104.0, 114.0),
        (0, 0, 2): (105.0, 107.0),
        (1, 0, 0): (500, 506),
    }
    records = [
        record("samples", number, 1, {}, seconds=ended - config, finished_at=ended)
        for number, (config, ended) in spans.items()
    ]
    assert total(records).busy_s == 14.0 + 6.0
    assert total([]).busy_s == 0.0
