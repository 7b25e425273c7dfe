import io
import os
import pickle
import pickletools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.exports._pickled_list import PickledList, part_names, stamp_of
from gristmill.storage.local import LocalStore

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    | st.text(max_size=9) | st.binary(max_size=9),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3) | st.tuples(v, v),
    max_leaves=6,
)  # fmt: skip
items = st.lists(st.dictionaries(st.text(max_size=5), plain, max_size=4), max_size=8)


def pickled(rows) -> bytes:
    stream = io.BytesIO()
    out = PickledList(stream)
    for row in rows:
        out.add(row)
    out.close()
    assert out.count_text() == str(len(rows)).encode()
    return stream.getvalue()


@given(items)
def test_what_is_written_is_the_list_for_pickle(rows):
    assert pickle.loads(pickled(rows)) == rows


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_batches_of_any_length(count):
    rows = [{"id": n} for n in range(count)]
    body = pickled(rows)
    assert pickle.loads(body) == rows
    pickletools.dis(body, out=io.StringIO())  # checks the stack at every opcode


def test_items_are_the_same_bytes_wherever_they_stand():
    one = {"id": 7, "tags": ["a", "a"]}
    assert pickled([one, one]).count(pickled([one])[13:-2]) == 2


def test_a_stamp_is_found_again_and_is_no_part_of_the_list(tmp_path):
    for stamp in ("", "é" * 50, "x" * 300):
        stream = io.BytesIO()
        out = PickledList(stream, stamp)
        out.add({"a": 1})
        out.close()
        path = tmp_path / "part.pkl"
        path.write_bytes(stream.getvalue())
        assert stamp_of(LocalStore(tmp_path), path.name) == stamp
        assert pickle.loads(path.read_bytes()) == [{"a": 1}]
    for other in (b"", b"\x80\x03", pickle.dumps([1]), pickle.dumps("text", 3), b"\x80\x03X\xff\xff\xff\xff"):
        path.write_bytes(other)
        assert stamp_of(LocalStore(tmp_path), path.name) is None


def test_only_plain_data_is_written():
    out = PickledList(io.BytesIO())
    for value in (object(), os.system, complex(1, 2)):
        with pytest.raises(TypeError, match="not plain data"):
            out.add({"x": value})
    out.add({"x": 1})
    assert out.count == 1


def test_memory_does_not_grow_with_the_list():
    class Sink(io.RawIOBase):
        def write(self, body):
            return len(body)

    tracemalloc.start()
    out = PickledList(Sink())
    body = "x" * 20_000
    out.add({"image": body})
    before = tracemalloc.get_traced_memory()[0]
    for n in range(3000):
        out.add({"id": n, "image": body})
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000


def test_names():
    assert part_names(7) == ("part-00007.pkl", "part-00007.count")
