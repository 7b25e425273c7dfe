"""Pickled lists read item by item: equal to what ``pickle`` reads, and nothing damaged costs more than a sentence."""

import copyreg
import io
import pickle
import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pickled import all_rows, listed, read

from gristmill.exports._pickled_list import PickledList
from gristmill.shards import pickle_machine, pickle_stack
from gristmill.shards.far_texts import BeyondFolder, filled
from gristmill.shards.pickle_bytes import CutOffPickle, DamagedPickle
from gristmill.shards.pickle_items import pickled_rows
from gristmill.spec.errors import SourceError
from gristmill.spec.reasons import Reason

texts = st.text(max_size=9) | st.text(min_size=300, max_size=301).map(lambda text: text * 5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=9), v, max_size=3) | st.tuples(v, v),
    max_leaves=8,
)
rows = st.lists(st.dictionaries(st.text(max_size=5), plain, max_size=4), max_size=6)
ways = st.sampled_from([(dumps, n) for dumps in (pickle.dumps, pickle._dumps) for n in range(6)])
PROTOCOLS = [pytest.param(n, marks=pytest.mark.slow) if n in (1, 3) else n for n in range(6)]
"""Those between two that differ more are seldom met."""


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "part.pkl"


@given(rows, ways)
def test_the_same_as_pickle(place, value, way):
    dumps, protocol = way
    place.write_bytes(dumps(value, protocol))
    assert read(place) == listed(value)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("inner", [({}, {}), ({"a": 1}, {}, {}), [({}, {"b": ({}, {})})]])
def test_dicts_side_by_side_within_an_item(place, inner, protocol):
    value = [{}, {"": inner}, {"k": "v", "": inner}, {}]
    place.write_bytes(pickle.dumps(value, protocol))
    assert read(place) == listed(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps])
@pytest.mark.parametrize(
    "count", [0, 1, 2, 1000, 1001]
)  # a batch has 1000; one item alone has another opcode
def test_batches_of_any_length(place, dumps, protocol, count):
    value = [{"n": n, "question": f"{n}?", "image": ["x" * 2000]} for n in range(count)]
    place.write_bytes(dumps(value, protocol))
    assert read(place) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps])
def test_what_items_share_is_there_in_each(place, dumps, protocol):
    body, pictures, nested = "B" * 5000, ["C" * 3000, "short"], {"a": [1, {"b": (2, 3)}]}
    inner = [nested, nested]
    value = [
        {"n": n, "body": body, "image": pictures, "nested": nested, "again": inner, "both": (pictures, body)}
        for n in range(1150)
    ]
    value[5]["itself"] = value[3]
    value[1100] = value[7]
    value.append(value[-1])
    place.write_bytes(dumps(value, protocol))
    assert read(place) == listed(value)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_bytes_come_as_base64(place, protocol):
    value = [{"rawbytes": b"\xff\xd8" * size, "caption": "x"} for size in (0, 1, 200, 70_000)]
    place.write_bytes(pickle.dumps(value, protocol))
    assert read(place) == listed(value)


def test_what_we_write_ourselves(place):
    value = [{"id": n, "image": "/9j/" * 900} for n in range(1500)]
    with place.open("wb") as stream:
        out = PickledList(stream, "a stamp")
        for item in value:
            out.add(item)
        out.close()
    assert read(place) == value


def test_pickles_of_python_2(place):
    place.write_bytes(b"\x80\x02]q\x00}q\x01(U\x01aU\x03\xc3\xa9xU\x01bT\x04\x00\x00\x00\xffabcua.")
    assert read(place) == [{"a": "éx", "b": "\xffabc"}]
    place.write_bytes(b"(lp0\n(dp1\nS'a'\np2\nS'it\\'s \\xe9'\np3\nsa.")
    assert read(place) == [{"a": "it's é"}]


def test_memory_holds_one_item(place):
    with place.open("wb") as stream:
        pickler = pickle.Pickler(stream, 4)  # memoizes everything
        pickler.dump([{"id": n, "image": [f"{n:05d}" * 8000]} for n in range(1200)])
    assert place.stat().st_size > 45_000_000
    tracemalloc.start()
    count = sum(1 for _ in pickled_rows(place, max_item_bytes=1 << 30))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1200
    assert peak < 2_000_000


# what is refused


def test_the_place_is_said(place):
    good = pickle.dumps([{"a": 1}] * 3, 3)[:-2]
    place.write_bytes(good + b"cos\nsystem\ne.")
    with pytest.raises(
        SourceError, match=rf"part\.pkl: byte {len(good)}: refused, it wants to run os\.system"
    ):
        all_rows(place)


LENGTHS = [
    b"X" + struct.pack("<I", 2**31),
    b"B" + struct.pack("<I", 2**32 - 1),
    b"\x8d" + struct.pack("<Q", 2**63),
    b"\x8e" + struct.pack("<Q", 2**62),
    b"\x96" + struct.pack("<Q", 2**40),
    b"\x8c\xff",
    b"\x8a\xff",
]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_beyond_the_file_costs_nothing(place, length):
    place.write_bytes(b"\x80\x04](" + length + b"x" * 50)
    tracemalloc.start()
    with pytest.raises(CutOffPickle, match=r"part\.pkl: byte \d+: cut off"):
        all_rows(place)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_huge_memo_number_costs_nothing(place):
    place.write_bytes(
        b"\x80\x04]}r" + struct.pack("<I", 2**32 - 1) + b"aj" + struct.pack("<I", 2**32 - 1) + b"a."
    )
    tracemalloc.start()
    assert read(place) == [{}, {}]
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cut_at_every_byte(place, protocol):
    value = [{"id": n, "text": "a", "x": [1.5, None, -7, 2**70, "é" * 130]} for n in range(3)]
    body = pickle.dumps(value, protocol)
    for cut in range(len(body)):
        place.write_bytes(body[:cut])
        with pytest.raises(SourceError):
            all_rows(place)


def iter_into(found, path):
    for row in pickled_rows(path, max_item_bytes=1 << 30):
        found.append(row.value["n"])
    return []


def test_items_before_a_cut_are_given_out(place):
    body = pickle.dumps([{"n": n, "x": f"{n:0100}"} for n in range(2000)], 4)
    place.write_bytes(body[: len(body) // 2])
    found = []
    with pytest.raises(CutOffPickle):
        found.extend(iter_into(found, place))
    assert len(found) > 900
    assert found == list(range(len(found)))


def before_damage(place, body):
    place.write_bytes(body)
    found = []
    rows = (row.value if row.reason is None else None for row in pickled_rows(place, max_item_bytes=1 << 30))
    with pytest.raises(DamagedPickle):
        found.extend(rows)
    return found


ODD = {3: 5, 4: "text", 5: ["a", {"b": 1}], 6: None}
ITEMS = [ODD.get(n, {"n": n, "facts": {"one": [n], "two": {"x": n}}, "x": f"{n:0100}"}) for n in range(12)]


@pytest.mark.parametrize("protocol", [1, 2, 4])
def test_all_whole_items_before_a_cut_are_given_out(place, protocol):
    """Cut anywhere: those that end before it, and none that is not whole."""
    body = pickle.dumps(ITEMS, protocol)
    ends = [
        pickle.dumps(ITEMS[: n + 1], protocol).rindex(b"%0100d" % n) + 100 for n in (0, 1, 2, 7, 8, 9, 10, 11)
    ]
    for cut in range(1, len(body) - 1, 3):
        found = before_damage(place, body[:cut])
        rows = [item if isinstance(item, dict) else None for item in ITEMS]
        assert found == rows[: len(found)]
        whole = sum(
            end + 8 <= cut for end in ends
        )  # behind the last text come its memo and the end of its dict
        assert sum(row is not None for row in found) >= whole


@pytest.mark.parametrize("protocol", [2, 4])
def test_all_whole_items_before_damage_are_given_out(place, protocol):
    body = pickle.dumps(ITEMS, protocol)
    middle = body.index(b"%0100d" % 9)
    found = before_damage(place, body[: middle - 6] + b"\xfe" * 4 + body[middle - 2 :])
    assert len(found) == 9


def test_items_that_are_no_rows_are_told_with_their_place(place):
    loop: list = []
    loop.append(loop)
    bomb: list = ["x" * 1000]
    for _ in range(40):
        bomb = [bomb, bomb]
    deep: list = []
    for _ in range(200):
        deep = [deep]
    value = [
        {"n": 0},
        5,
        ["a"],
        {"loop": loop},
        {"bomb": bomb},
        {"deep": deep},
        {1: 2},
        {"n": 7},
        {"big": "x" * 9000},
    ]
    place.write_bytes(pickle.dumps(value, 4))
    found = all_rows(place, most=5000)
    assert [row.number for row in found] == list(range(9))
    assert [row.reason for row in found] == [
        None, *[Reason.BAD_ROW] * 6, None, Reason.ROW_TOO_LONG,
    ]  # fmt: skip
    said = [row.detail.partition(": ")[2] for row in found if row.reason]
    assert (
        said
        == [
            "not a dict but int",
            "not a dict but list",
            "nested too deeply",
            "nested too deeply",
            "nested too deeply",
            "a key that is not a text",
            "9000 bytes",
        ]
        or said[3] == "too many values, or one within itself"
    )
    assert all(row.offset < len(place.read_bytes()) for row in found)


def test_many_keys_of_one_hash_cost_nothing(place):
    keys = (
        pickle.dumps(n * (2**61 - 1), 2)[2:-1] for n in range(20_000)
    )  # a dict of them would take its time
    place.write_bytes(b"\x80\x02](}(" + b"".join(key + b"N" for key in keys) + b"ue.")
    started = time.monotonic()
    (row,) = all_rows(place)
    assert row.reason is Reason.BAD_ROW
    assert time.monotonic() - started < 20


def test_sharing_that_makes_reading_quadratic_is_refused(place, monkeypatch):
    big = [float(n) for n in range(5000)]
    holders = [[big, n] for n in range(300)]
    order = [holders[n % 300] for n in range(3000)]
    monkeypatch.setattr(pickle_stack.Shared, "__init__", _stingy(pickle_stack.Shared.__init__))
    place.write_bytes(pickle.dumps([{"a": one, "n": n} for n, one in enumerate(order)], 2))
    with pytest.raises(SourceError, match="share too much"):
        all_rows(place)


def _stingy(init):
    def made(self, file_bytes):
        init(self, file_bytes)
        self.most_again_bytes = 100_000

    return made


def test_changed_bytes_give_rows_or_a_sentence(place):
    value = [
        {"id": n, "text": "abc", "x": [1.5, None, (True, "y")], "big": 2**70, "far": "z" * 1500}
        for n in range(4)
    ]
    noise, refused = random.Random(11), 0
    for protocol in range(6):
        whole = pickle.dumps(value, protocol)
        for _ in range(80):
            changed = bytearray(whole)
            for _ in range(noise.choice((1, 1, 3))):
                changed[noise.randrange(len(changed))] = noise.randrange(256)
            place.write_bytes(changed)
            try:
                for row in all_rows(place):
                    if row.reason is None:
                        row.json()
            except SourceError:
                refused += 1
    assert 40 < refused < 440


@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(n, marks=pytest.mark.slow) for n in range(8, 30))]
)
def test_random_opcodes_give_rows_or_a_sentence(place, seed):
    noise = random.Random(seed)
    codes = bytes(code for code in pickle_machine._OPCODES if code not in b"ciP\x93QRbo")
    for _ in range(60):
        body = bytearray(b"\x80\x04")
        if noise.random() < 0.8:
            body += b"]" + noise.choice((b"", b"(", b"\x94("))
        for _ in range(noise.randrange(200)):
            body.append(noise.choice(codes))
            body += bytes(noise.choice((0, 0, 1, 2, 10, 48, 255)) for _ in range(noise.choice((0, 0, 1, 4))))
        place.write_bytes(bytes(body) + b"e.")
        try:
            all_rows(place)
        except SourceError:
            continue


class Plain(pickle._Unpickler):
    """The standard library's own, kept from importing anything: what it reads without complaint, we read alike."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError(name)

    def persistent_load(self, pid):
        raise pickle.UnpicklingError(pid)


def plainly(body: bytes):
    try:
        return Plain(io.BytesIO(body)).load()
    except (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError):
        return None


def is_json(value, depth: int = 0) -> bool:
    if depth > 20 or type(value) not in {dict, list, tuple, str, int, float, bool, type(None)}:
        return False
    if type(value) is dict:
        return all(type(key) is str and is_json(item, depth + 1) for key, item in value.items())
    return type(value) not in {list, tuple} or all(is_json(item, depth + 1) for item in value)


VALUES = (b"N", b"K\x07", b"\x8c\x01a", b"\x8c\x01b", b"}", b"]", b")", b"J\xff\xff\xff\xff", b"\x88")
SHAPES = (
    b"a",
    b"s",
    b"\x85",
    b"\x86",
    b"0",
    b"2",
    b"\x94",
    b"h\x00",
    b"h\x01",
    b"h\x02",
    b"h\x03",
    b"q\x01",
    b"q\x05",
    b"h\x05",
)
MARKED = (b"e", b"u", b"t", b"l", b"d", b"1")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_pickle_reads_is_read_alike(place, seed):
    """Random programs, most of them no pickles at all; of those that are, nothing is read otherwise."""
    noise, same = random.Random(seed), 0
    for _ in range(1500):
        body, marks = bytearray(b"\x80\x04]"), 0
        if noise.random() < 0.8:
            body += noise.choice((b"", b"\x94")) + b"("
            marks = 1
        for _ in range(noise.randrange(2, 22)):
            draw = noise.random()
            if draw < 0.5:
                body += noise.choice(VALUES)
            elif draw < 0.75:
                body += noise.choice(SHAPES)
            elif draw < 0.87 or not marks:
                body += b"("
                marks += 1
            else:
                body += noise.choice(MARKED)
                marks -= 1
        body = bytes(body) + b"e" * marks + b"."
        value = plainly(body)
        if type(value) is not list or not is_json(value):
            continue
        place.write_bytes(body)
        try:
            found = all_rows(place)
        except SourceError:
            continue  # stricter than pickle: a list used otherwise than being filled
        same += 1
        expected = [listed(item) if type(item) is dict else None for item in value]
        assert [row.value for row in found] == expected, body
    assert same > 10


def test_extensions_are_refused_even_if_registered(place):
    copyreg.add_extension("os", "system", 77)
    try:
        place.write_bytes(b"\x80\x02]\x82\x4da.")
        with pytest.raises(SourceError, match="extension"):
            all_rows(place)
    finally:
        copyreg.remove_extension("os", "system", 77)


def test_a_pointer_leads_into_the_named_folder_alone(place, tmp_path):
    """A part, and so its pointers, may be a stranger's."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "secret").write_bytes(b"canary")
    (tmp_path / "pictures" / "a").write_bytes(b"canary")
    (tmp_path / "pictures" / "link").symlink_to(tmp_path / "secret")

    def read_by(file, folder):
        pointer = {"path": '["x"]', "offset": 0, "size": 6, "text": True, "file": str(tmp_path / file)}
        return filled({"x": None}, [pointer], -1, place, folder)

    assert read_by("pictures/a", tmp_path / "pictures") == {"x": "canary"}
    for file in ("secret", "pictures/../secret", "pictures/link"):
        with pytest.raises(BeyondFolder):
            read_by(file, tmp_path / "pictures")
    with pytest.raises(BeyondFolder):
        read_by("pictures/a", None)
