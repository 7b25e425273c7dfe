"""Records that are held packed are what they were, in the dataset's order, and small."""

import random
import tracemalloc
from dataclasses import replace

import msgspec
import pytest

from gristmill.ledger import records as packed
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.records import Records
from gristmill.ledger.totals import total
from gristmill.spec.task import ShardInfo, TaskRecord

STAGES = (("rows", "reading"), ("samples", "making"), ("pack", "packing"))


def made(number):
    stage, account = STAGES[number % 3]
    rng = random.Random(number)
    task_id = f"{rng.getrandbits(64):016x}"
    outputs = tuple(
        ShardInfo(
            path=f"fates/{number:05d}-{task_id}-{each}",
            role="fates",
            samples=number,
            size_bytes=9,
            digest=f"{rng.getrandbits(256):064x}",
        )
        for each in range(2)
    )
    return TaskRecord(
        task_id=task_id,
        stage=stage,
        account=account,
        number=(number % 2, rng.randrange(9), number),
        outputs=outputs,
        samples_in=number + 1,
        kept=number,
        dropped={"http_404": 1},
        hosts={f"{rng.getrandbits(40):x}.example": 2 for _ in range(20)},
        seconds=rng.random(),
        finished_at=1.7e9 + rng.random() * 1e5,
        notes=(f"n{number % 5}",),
    )


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(packed, "_BLOCK_BYTES", 5000)
    monkeypatch.setattr(packed, "_BLOCKS_AT_HAND", 2)


def test_each_is_what_it_was_and_stands_in_the_order_of_the_dataset(small_blocks):
    every = [made(number) for number in range(100)]
    random.Random(1).shuffle(every)
    held = Records()
    held.update({record.task_id: record for record in every})
    again = replace(every[7], seconds=9.0, finished_at=1.9e9)
    held[again.task_id] = again
    del held[every[3].task_id]
    wanted = [again if n == 7 else record for n, record in enumerate(every) if n != 3]
    assert list(held.values()) == wanted
    assert len(held) == 99
    assert held == {record.task_id: record for record in wanted}
    assert held.finished_at(again.task_id) == 1.9e9
    assert held.finished_at("none") is None
    furthest = held.furthest()
    assert furthest is not None
    assert furthest.number[1] == max(record.number[1] for record in wanted)
    assert Records().furthest() is None
    by_number = sorted(wanted, key=lambda record: record.number)
    assert list(held.in_order()) == by_number
    packing = [record for record in by_number if record.account == "packing"]
    assert list(held.in_order(account="packing")) == packing
    assert list(held.in_order(stage="rows")[1:3]) == [r for r in by_number if r.stage == "rows"][1:3]
    by_part = held.in_order(account="packing", by_part=True)
    assert list(by_part) == sorted(packing, key=lambda record: record.number[2])
    assert list(held.in_order(stage="gather")) == []


def test_totals_are_those_of_all_records_and_follow_what_is_added_and_taken_back(small_blocks, tmp_path):
    ledger = Ledger(tmp_path)
    for number in range(30):
        ledger.commit(made(number))
        if number % 10 == 9:
            assert ledger.totals() == total(ledger.records.values()) != total([])
    ledger.void(made(4).task_id)
    assert ledger.totals() == total(map(made, [n for n in range(30) if n != 4]))
    ledger.close()


def test_a_record_takes_less_than_half_of_what_its_line_does():
    lines = [(record, msgspec.json.encode(record) + b"\n") for record in map(made, range(3000))]
    tracemalloc.start()
    held = Records()
    for record, line in lines:
        held.keep(record, line)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < sum(len(line) for _, line in lines) / 2
    assert held[lines[1500][0].task_id] == lines[1500][0]
