"""A dataset's shards in their order, also where names no longer sort by their numbers."""

import pytest

from gristmill.exports import finished_shards
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.spec.errors import Incomplete
from gristmill.spec.task import ShardInfo, TaskRecord

CONFIG = RunConfig(recipe="r", name="r", version="1", identity={}, inputs=())


def test_shards_are_ordered_by_their_numbers(tmp_path):
    ledger = Ledger(tmp_path)
    for number, stage in ((100_001, "pack"), (99_999, "gather"), (2, "pack"), (100_000, "gather")):
        path = f"shards/{number:05d}.tar"
        info = ShardInfo(path=path, role="shard", samples=1, size_bytes=1, digest="0" * 64)
        ledger.commit(
            TaskRecord(
                task_id=f"{number:016x}",
                stage=stage,
                account="packing",
                number=(0, 0, number),
                outputs=(info,),
                samples_in=1,
                kept=1,
            )
        )
    found = [shard.path for shard in finished_shards(tmp_path, CONFIG, ledger).shards]
    ledger.close()
    assert found == [f"shards/{number}.tar" for number in ("00002", "99999", "100000", "100001")]


def test_no_shard_yet(tmp_path):
    with pytest.raises(Incomplete, match="no finished shard yet"):
        finished_shards(tmp_path, CONFIG, Ledger(tmp_path))
