"""Pickles that would run something when they are loaded: refused by name, and nothing of them is ever run."""

import collections
import io
import os
import pickle
import struct
import time
import tracemalloc
from pathlib import Path

import numpy
import pytest
from pickled import all_rows

from gristmill.shards import pickle_bytes, pickle_stack
from gristmill.spec.errors import SourceError

CANARY = Path("canary-of-the-pickles")


class Runs:
    """Touches the canary when a careless reader loads it."""

    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


class RunsEx:
    def __reduce_ex__(self, protocol):
        return exec, (f"open({str(CANARY)!r}, 'w')",)


class WithState:
    def __setstate__(self, state):
        CANARY.write_text("ran")

    def __getstate__(self):
        return {"x": 1}


def pickled_by(class_, value) -> bytes:
    out = io.BytesIO()
    class_(out, 4).dump(value)
    return out.getvalue()


class Persistent(pickle.Pickler):
    def persistent_id(self, obj):
        return "the id" if obj == "x" else None


def inst(module: bytes, name: bytes) -> bytes:
    return b"(i" + module + b"\n" + name + b"\n."


def numbers(shape: bytes, body: bytes = b"abcd") -> bytes:
    """A list of one NumPy array of int32 whose shape is what some opcodes make."""
    return (
        b"\x80\x04]cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01" + shape +
        b"cnumpy\ndtype\n\x8c\x02i4\x89\x88\x87R\x89C" + bytes([len(body)]) + body + b"tba."
    )  # fmt: skip


HOSTILE = {
    "reduce": (pickle.dumps([{"a": Runs()}]), r"run \w+\.system"),
    "reduce, protocol 0": (pickle.dumps([Runs()], 0), r"run \w+\.system"),
    "reduce, not in a list": (pickle.dumps(Runs()), r"run \w+\.system"),
    "exec": (pickle.dumps([{"a": 1}, {"b": RunsEx()}], 2), r"run \w+\.exec"),
    "after a thousand good items": (pickle.dumps([{"a": 1}] * 1500 + [Runs()]), r"run \w+\.system"),
    "a state": (pickle.dumps([{"a": WithState()}]), r"run .*\.WithState"),
    "a class": (pickle.dumps([{"a": dict}, OSError]), r"run builtins\.dict"),
    "a function": (pickle.dumps([{"a": len}], 1), r"run __builtin__\.len"),
    "an ordered dict": (pickle.dumps([collections.OrderedDict(a=1)]), r"run collections\.OrderedDict"),
    "numpy": (b"\x80\x02]cnumpy.core.multiarray\nfromfile\n.", r"run numpy\.core\.multiarray\.fromfile"),
    "numpy, a name alone": (b"\x80\x02]cnumpy.core.multiarray\n_reconstruct\n.", "not hold a list"),
    "numpy, built as an instance": (inst(b"numpy", b"dtype"), r"run numpy\.dtype"),
    "numpy, its state": (b"\x80\x02]cnumpy\nndarray\nNb.", "set an object's state"),
    "numpy, called": (b"\x80\x02]cnumpy\nndarray\nK\x05\x85Ra.", "call of numpy.ndarray as NumPy does not"),
    "numpy, an array of a subclass": (pickle.dumps([{"a": numpy.ma.array([1])}]), r"run numpy\.ma"),
    "numpy, objects": (pickle.dumps([{"a": numpy.array([Runs()])}], 4), "holds a NumPy array of 'O8'"),
    "numpy, objects of plain data": (pickle.dumps([{"a": numpy.array([{}])}], 4), "of 'O8'"),
    "numpy, texts": (pickle.dumps([{"a": numpy.array(["x"])}]), "of 'U1'"),
    "numpy, times": (pickle.dumps([{"a": numpy.array(["2026-01-01"], "M8[s]")}]), "of 'M8'"),
    "numpy, structures": (pickle.dumps([{"a": numpy.zeros(2, "i4,i4")}], 4), "of 'V8'"),
    "numpy, a type of no bytes": (pickle.dumps([{"a": numpy.zeros(2, "V0")}], 4), "NumPy array of 'V0'"),
    "numpy, a shape that is too large": (numbers(b"J\xff\xff\xff\x7f\x85"), "array of shape"),
    "numpy, a shape of many empty lists": (numbers(b"J\xff\xff\xff\x7fK\x00\x86", b""), "array of shape"),
    "numpy, a negative shape": (numbers(b"J\xff\xff\xff\xff\x85"), "no sound shape"),
    "numpy, a shape of lists": (numbers(b"]\x85"), "no sound shape"),
    "numpy, forty dimensions": (numbers(b"(" + b"K\x01" * 40 + b"t"), "no sound shape"),
    "numpy, bytes as text": (numbers(b"K\x01\x85").replace(b"C\x04", b"U\x04"), "array of objects, or"),
    "bytes of protocol 2": (pickle.dumps([{"rawbytes": b"\xff"}], 2), r"run _codecs\.encode"),
    "stack global": (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"run os\.system"),
    "stack global in an item": (b"\x80\x04]}(\x8c\x01k\x8c\x05posix\x8c\x06system\x93ue.", r"run posix\.system"),
    "stack global of no texts": (b"\x80\x04]K\x01K\x02\x93a.", r"run 1\.2"),
    "inst": (inst(b"os", b"system"), r"run os\.system"),
    "inst in an item": (b"\x80\x02](}(X\x01\x00\x00\x00a" + inst(b"subprocess", b"Popen"), r"run subprocess\.Popen"),
    "obj": (b"\x80\x01](K\x01oe.", "build an object"),
    "newobj": (b"\x80\x02]N)\x81a.", "build an object"),
    "newobj_ex": (b"\x80\x04]N)}\x92a.", "build an object"),
    "a text called": (b"\x80\x03]X\x01\x00\x00\x00a)Ra.", "call something"),
    "a state for a dict": (b"\x80\x03]}}b.", "set an object's state"),
    "extension 1": (b"\x80\x02]\x82\x01a.", "an extension"),
    "extension 2": (b"\x80\x02]\x83\x01\x00a.", "an extension"),
    "extension 4": (b"\x80\x02]\x84\x01\x00\x00\x00a.", "an extension"),
    "a persistent id": (b"\x80\x03]Phandle 7\na.", "persistent object b'handle 7'"),
    "a persistent id, binary": (pickled_by(Persistent, [{"a": "x"}]), "persistent object"),
    "a buffer": (b"\x80\x05]\x97a.", "buffer from outside"),
    "a set": (pickle.dumps([{"a": {1, 2}}], 4), "holds a set"),
    "a frozen set": (pickle.dumps([{"a": frozenset([1])}], 4), "holds a set"),
    "protocol 6": (b"\x80\x06].", "protocol 6"),
    "protocol 255": (b"\x80\xffN.", "protocol 255"),
    "nested marks": (b"\x80\x03]" + b"(" * 100_000, "nested deeper"),
    "nested lists": (b"\x80\x03](" + b"]" * 60_000, "more than 50,000 values"),
    "memo bomb": (b"\x80\x03](" + b"".join(b"Nr" + struct.pack("<I", 7 * n) for n in range(6_000)), "memoizes too"),
    "memo of one value": (b"\x80\x04](N" + b"\x94" * 60_000, "more than 50,000 values"),
    "a memo that is not there": (b"\x80\x03]h\x07a.", "memo 7, which is not there"),
    "items taken back": (b"\x80\x04](}}1.", "takes items back"),
    "items put into a list of their own": (b"\x80\x04](}}la.", "takes items back"),
    "the list in itself": (b"\x80\x03]q\x00h\x00a.", "its list holds itself"),
    "a big integer": (b"\x80\x02]\x8b" + struct.pack("<i", 1 << 20) + bytes(1 << 20), "integer of 1,048,576 bytes"),
    "a negative length": (b"\x80\x02]\x8b\xff\xff\xff\xff" + bytes(20), "integer of 4,294,967,295"),
    "digits": (b"]I" + b"9" * 5000 + b"\na.", "line of more than 1,000 bytes"),
    "a dict": (pickle.dumps({0: {"000.jpg": "x"}}), "begins with a dict, not with a list"),
    "a tuple": (pickle.dumps(([], [])), "not a list|does something else"),
    "a text": (pickle.dumps("hello"), "not hold a list"),
    "two lists": (b"\x80\x03]].", "not hold a list"),
    "a list taken away": (b"\x80\x03]0.", "something else with its list"),
    "text": (b"not a pickle at all", "persistent|no pickle"),
    "json": (b'[{"a": 1}]\n', "no pickle"),
    "zip": (b"PK\x03\x04" + bytes(30), r"torch\.save"),
    "gzip": (b"\x1f\x8b\x08" + bytes(30), "unpack it"),
    "empty": (b"", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(HOSTILE))
def test_hostile_pickles_are_refused_by_name_and_nothing_runs(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pickle_stack, "_MOST_VALUES", 50_000)
    monkeypatch.setattr(pickle_bytes, "_MOST_STRAY_MEMOS", 5000)
    body, said = HOSTILE[case]
    path = tmp_path / "evil.pkl"
    path.write_bytes(body)
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(SourceError, match=rf"evil\.pkl: .*({said})") as caught:
        all_rows(path)
    assert time.monotonic() - started < 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 << 20
    assert not CANARY.exists()
    if case not in {"zip", "gzip", "empty"}:
        assert "byte " in str(caught.value)


def test_the_canary_would_sing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["reduce"][0])
    assert CANARY.exists()
