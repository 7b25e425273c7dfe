"""Records set apart by number, in bounded memory."""

import tracemalloc

import numpy as np
import pytest

from gristmill.steps import spill
from gristmill.steps.spill import PORTIONS, Spill


def batches(count: int, size: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 1 << 62, size).astype("<u8") for _ in range(count)]


def portion_of(records: np.ndarray) -> np.ndarray:
    return (records % np.uint64(PORTIONS)).astype(np.int64)


@pytest.mark.parametrize("in_memory_bytes", [64, 4096, 100_000, 8 << 20])
def test_each_portion_holds_its_records_in_their_order(tmp_path, monkeypatch, in_memory_bytes):
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", in_memory_bytes)
    some, held = batches(40, 500), Spill(tmp_path, "x", "<u8")
    for one in some:
        held.add(one, portion_of(one))
    on_disk = bool(list(tmp_path.iterdir()))
    found = list(held.portions())
    whole = np.concatenate(some)
    wanted = [whole[portion_of(whole) == number] for number in range(PORTIONS)]
    assert [one.tolist() for one in found] == [one.tolist() for one in wanted if len(one)]
    assert on_disk == (whole.nbytes > in_memory_bytes)
    assert not list(tmp_path.iterdir())


def test_memory_is_bounded_also_where_batches_are_small(tmp_path, monkeypatch):
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 1 << 20)
    held = Spill(tmp_path, "x", "<u8")
    some = batches(6000, 50)
    tracemalloc.start()
    try:
        for one in some:
            held.add(one, portion_of(one))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 3 << 20
    assert sum(map(len, held.portions())) == 300_000


def test_nothing_was_added(tmp_path):
    assert list(Spill(tmp_path, "x", "<u8").portions()) == []
