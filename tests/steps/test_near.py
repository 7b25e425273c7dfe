import numpy as np
import pytest

from gristmill.steps.near import Near, leaders


def brute(hashes, known, bits):
    """The first of the nearest, or -1."""
    distance = np.bitwise_count(hashes[:, None] ^ known[None, :])
    nearest = distance.argmin(axis=1)
    return np.where(distance[np.arange(len(hashes)), nearest] <= bits, nearest, -1)


def flipped(rng, value, count):
    for bit in rng.choice(64, count, replace=False):
        value ^= np.uint64(1) << np.uint64(bit)
    return value


@pytest.mark.parametrize("bits", range(9))
def test_bands_find_what_comparing_all_finds(bits):
    rng = np.random.default_rng(bits)
    known = np.unique(rng.integers(0, 2**64, 300, np.uint64))
    close = [flipped(rng, known[rng.integers(len(known))], rng.integers(0, 12)) for _ in range(500)]
    hashes = np.concatenate([np.array(close, np.uint64), rng.integers(0, 2**64, 500, np.uint64)])
    found = Near(known, bits).find(hashes)
    assert (found == brute(hashes, known, bits)).all()
    assert (found >= 0).any()


def test_of_equally_near_ones_the_first_is_named():
    known = np.array([0b0001, 0b0010, 0b0000], np.uint64)
    assert Near(known, 2).find(np.array([0b0011, 0b0000, 0b1111_0000], np.uint64)).tolist() == [0, 2, -1]


def test_nothing_known_and_nothing_asked():
    assert Near(np.empty(0, np.uint64), 2).find(np.array([5], np.uint64)).tolist() == [-1]
    assert Near(np.array([5], np.uint64), 2).find(np.empty(0, np.uint64)).tolist() == []
    assert leaders(np.empty(0, np.uint64), 2).tolist() == []


def test_each_is_led_by_the_first_leader_near_it():
    hashes = np.array([0b0000, 0b0001, 0b0011, 0b0111, 0xFF << 40], np.uint64)
    assert leaders(hashes, 1).tolist() == [0, 0, 2, 2, 4]
    assert leaders(hashes, 2).tolist() == [0, 0, 0, 3, 4]
    assert leaders(hashes, 0).tolist() == [0, 1, 2, 3, 4]
