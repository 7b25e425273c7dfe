"""NumPy's arrays of numbers in pickles are read as lists, and whole pickles as values."""

import pickle
import random

import numpy as np
import pytest
from pickled import all_rows, read

from gristmill.shards import pickle_whole
from gristmill.shards.pickle_whole import pickled_value
from gristmill.spec.errors import SourceError
from gristmill.spec.reasons import Reason

SHOTS = np.array([[0, 39], [40, 101], [102, 185]], dtype=np.int32)
ARRAYS = {
    **{f"{order}{kind}": np.arange(6).astype(f"{order}{kind}").reshape(2, 3)
       for order in "<>" for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")},
    "b": np.array([True, False]), "i1": np.array([-1, 1], "i1"), "u1": np.array([255], "u1"),
    "by columns": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "other axes": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "a slice": np.arange(20)[::3], "none": np.zeros((3, 0), "f4"), "a number": np.array(7), "nothing": np.array([]),
    "scalar": np.float32(1.5), "scalar, other": np.int64(-3),
    "not finite": np.array([np.inf, -np.inf]),
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    return tmp_path / "split_info.pkl"


def plain(value):
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_are_lists(place, protocol):
    body = pickle.dumps(ARRAYS, protocol)
    for core in (b"numpy._core", b"numpy.core"):  # as NumPy 2 and NumPy 1 name it
        place.write_bytes(body if core in body else renamed(body))
        assert pickled_value(place) == plain(ARRAYS)
    rows = [{"n": n, "shots": SHOTS, "also": (SHOTS.astype("i8"), "x")} for n in range(1100)]
    place.write_bytes(pickle.dumps(rows, protocol))
    assert read(place) == plain(rows)


def renamed(body: bytes) -> bytes:
    """Of another module: frames and lengths of texts are mended with it."""
    for tail in (b"multiarray", b"numeric"):
        new, old = b"numpy.core." + tail, b"numpy._core." + tail
        body = body.replace(b"c" + old, b"c" + new).replace(
            bytes([0x8C, len(old)]) + old, bytes([0x8C, len(new)]) + new
        )
    at = body.index(b"\x95") if body[1] > 3 else -1
    return body if at < 0 else body[:at] + body[at + 9 :]  # without the frame, which may be left out


@pytest.mark.parametrize("protocol", range(6))
def test_whole_pickles(place, protocol):
    value = {"-a_b.3.mp4": [[0, 39], [40, 95]], "long": "é" * 3000, "again": None, "none": (), "x": 2**70}
    value["again"] = value["long"]
    for whole in (value, [value, value], "text", 7, None, [[]]):
        place.write_bytes(pickle.dumps(whole, protocol))
        assert pickled_value(place) == plain(whole)


def test_whole_pickles_that_are_refused(place, monkeypatch):
    monkeypatch.setattr(pickle_whole, "_MOST_SHARED_VALUES", 30_000)
    loop: list = []
    loop.append(loop)
    bomb: list = [SHOTS] * 1000
    for _ in range(12):
        bomb = [bomb, bomb]
    for value, said in [
        (loop, "nested too deeply"),
        ({"a": bomb}, "too many values"),
        ({1: 2}, "not a text"),
    ]:
        place.write_bytes(pickle.dumps(value, 4))
        with pytest.raises(SourceError, match=rf"split_info\.pkl: refused: .*{said}"):
            pickled_value(place)
    with pytest.raises(SourceError, match="may have 10"):
        pickled_value(place, max_bytes=10)
    place.write_bytes(b"\x80\x04NN.")
    with pytest.raises(SourceError, match="more than one value"):
        pickled_value(place)


def test_a_name_of_numpy_is_no_value(place):
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    for made, said in ((b"cnumpy\nndarray\n", "a name of NumPy"), (array, "without what is in it")):
        place.write_bytes(b"\x80\x04]}X\x01\x00\x00\x00a" + made + b"sa.")
        (row,) = all_rows(place)
        assert row.reason is Reason.BAD_ROW
        assert said in row.detail


def test_changed_bytes_give_rows_or_a_sentence(place):
    noise, refused = random.Random(3), 0
    for protocol in (3, 4, 5):
        whole = pickle.dumps([{"shots": SHOTS, "n": np.int64(n)} for n in range(3)], protocol)
        for _ in range(150):
            changed = bytearray(whole)
            for _ in range(noise.choice((1, 1, 3))):
                changed[noise.randrange(len(changed))] = noise.randrange(256)
            place.write_bytes(changed)
            for reader in (all_rows, pickled_value):
                try:
                    reader(place)
                except SourceError:
                    refused += 1
    assert 100 < refused < 850
