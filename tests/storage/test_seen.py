"""A set of hashes: what was seen is in it, and nothing else."""

from gristmill.storage.seen import Seen


def test_what_was_seen_is_known_and_nothing_else():
    seen = Seen((f"shards/{n:05d}.tar", n) for n in range(0, 2_000, 2))
    assert all((f"shards/{n:05d}.tar", n) in seen for n in range(0, 2_000, 2))
    assert not any((f"shards/{n:05d}.tar", n) in seen for n in range(1, 2_001, 2))
    assert ("shards/00000.tar", 2) not in seen


def test_nothing_was_seen():
    assert "anything" not in Seen(())
