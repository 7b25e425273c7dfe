import io
import os
import pickle
import pickletools
import random
import struct
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.shards.vila import PickledList, part_names, read_pickle_safely, stamp_of
from gristmill.spec.errors import SourceError

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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(items)
def test_what_is_written_is_the_list_for_pickle_and_for_the_safe_reader(tmp_path, rows):
    path = tmp_path / "part.pkl"
    path.write_bytes(pickled(rows))
    assert pickle.loads(path.read_bytes()) == rows
    assert read_pickle_safely(path) == rows


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
        assert stamp_of(path) == stamp
        assert pickle.loads(path.read_bytes()) == [{"a": 1}]
    for other in (b"", b"\x80\x03", pickle.dumps([1]), pickle.dumps("text", 3), b"\x80\x03X\xff\xff\xff\xff"):
        path.write_bytes(other)
        assert stamp_of(path) is None


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


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Evil(), "system"),
        ({"a": [print]}, "print"),
        ([{"a": complex(1, 2)}], "complex"),
        ([OSError], "OSError"),
    ],
)
def test_every_global_is_refused_by_name(tmp_path, protocol, value, named):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    with pytest.raises(SourceError, match=rf"evil\.pkl: refused, it wants to run \w+\.{named}"):
        read_pickle_safely(path)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a pickle",
        b"\x80\x03]",
        b"\x80\xffN.",
        b"\x80\x03P1\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # an extension
        b"\x80\x03X" + struct.pack("<I", 2**31) + b"x.",  # text of 2 GiB
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",  # bytes of 4 EiB
        b"\x80\x04\x96" + struct.pack("<Q", 2**40) + b"x.",  # a bytearray of 1 TiB
        b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.",  # a frame of 1 TiB
        b"\x80\x03h\x07.",  # a memo that is not there
        b"\x80\x03X\x01\x00\x00\x00aK\x01R.",  # text called as a function
        b"\x80\x03}}NNsb.",  # a state for a dict,
    ],
)
def test_damage_is_said(tmp_path, body):
    path = tmp_path / "bad.pkl"
    path.write_bytes(body)
    with pytest.raises(SourceError, match=r"bad\.pkl"):
        read_pickle_safely(path)


def test_a_huge_memo_number_costs_nothing(tmp_path):
    path = tmp_path / "memo.pkl"
    path.write_bytes(b"\x80\x03Nr" + struct.pack("<I", 2**32 - 1) + b".")
    tracemalloc.start()
    assert read_pickle_safely(path) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_cut_at_every_byte(tmp_path):
    path = tmp_path / "cut.pkl"
    body = pickled([{"id": 1, "text": "a", "x": [1.5, None]}])
    for cut in range(len(body)):
        path.write_bytes(body[:cut])
        with pytest.raises(SourceError):
            read_pickle_safely(path)


def test_names():
    assert part_names(7) == ("part-00007.pkl", "part-00007.count")


def test_changed_bytes_give_data_or_a_sentence(tmp_path):
    path = tmp_path / "changed.pkl"
    rows = [{"id": n, "text": "abc", "x": [1.5, None, (True, b"y")], "big": 2**70} for n in range(4)]
    whole = pickled(rows)
    noise = random.Random(11)
    refused = 0
    for _ in range(1500):
        changed = bytearray(whole)
        for _ in range(noise.choice((1, 1, 3))):
            changed[noise.randrange(len(changed))] = noise.randrange(256)
        path.write_bytes(changed)
        try:
            read_pickle_safely(path)
        except SourceError:
            refused += 1
    assert 300 < refused < 1500
