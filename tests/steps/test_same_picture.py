import hashlib

import numpy as np
import pyarrow as pa
import pytest

from gristmill.recipes import load
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.steps import spill
from gristmill.steps.same_picture import SamePicture

SCHEMA = pa.schema([(name, pa.string()) for name in ("reason", "url", "sha256", "phash")])


def sha(name):
    return hashlib.sha256(str(name).encode()).hexdigest()


def fate(url, body, phash=None, reason=None):
    return {"reason": reason, "url": url, "sha256": sha(body) if body is not None else None, "phash": phash}


def batches(rows, size=7):
    table = pa.Table.from_pylist(rows, SCHEMA)
    return lambda: iter(table.to_batches(max_chunksize=size))


def tally(step, rows, tmp_path, size=7):
    return step.tally(batches(rows, size), tmp_path)


def flagged(step, rows, blocklist):
    return np.flatnonzero(step.flagged(pa.Table.from_pylist(rows, SCHEMA), blocklist)).tolist()


def placeholders(count, host="gone.example", body="placeholder", phash=None):
    return [fate(f"http://{host}/{n}.jpg", body, phash) for n in range(count)]


def others(count):
    return [fate(f"http://other.example/{n}", f"picture {n}") for n in range(count)]


def test_identical_bytes_under_enough_addresses_are_found(tmp_path):
    step = SamePicture(min_urls=5)
    rows = [*others(20), *placeholders(6), *placeholders(4, "few.example", "rare")]
    blocklist, summary = tally(step, rows, tmp_path)
    (row,) = blocklist.to_pylist()
    assert row == {
        "picture": 0,
        "sha256": sha("placeholder"),
        "phash": None,
        "media": 6,
        "urls": 6,
        "files": 1,
        "hosts": 1,
        "host": "gone.example",
        "example_url": "http://gone.example/0.jpg",
    }
    assert (summary["pictures"], summary["media"], summary["urls"]) == (1, 6, 6)
    assert summary["hosts"] == [{"host": "gone.example", "media": 6, "pictures": 1}]
    assert flagged(step, rows, blocklist) == [20, 21, 22, 23, 24, 25]


def test_one_address_in_many_rows_is_one_address(tmp_path):
    rows = [fate("http://a.example/1", "logo") for _ in range(50)]
    assert tally(SamePicture(min_urls=2), rows, tmp_path) == (
        tally(SamePicture(min_urls=2), [], tmp_path)[0],
        {},
    )


def test_what_was_not_kept_is_no_witness_and_not_condemned(tmp_path):
    step = SamePicture(min_urls=5)
    rows = [
        *placeholders(5),
        *(fate(f"http://gone.example/x{n}", "placeholder", reason="aspect") for n in range(9)),
    ]
    blocklist, summary = tally(step, rows, tmp_path)
    assert summary["urls"] == 5
    assert flagged(step, rows, blocklist) == [0, 1, 2, 3, 4]


def test_pictures_with_near_hashes_are_one_picture(tmp_path):
    """A placeholder that is encoded anew for each request: other bytes, nearly the same hash."""
    hashes = ["00000000000000ff", "00000000000000fe", "00000000000000fc"]
    rows = [fate(f"http://h{n % 3}.example/{n}", f"body {n}", hashes[n % 3]) for n in range(30)]
    rows += [
        fate(f"http://o.example/{n}", f"o {n}", f"{0xABCDEF0123456789 ^ (1 << n):016x}") for n in range(40)
    ]
    near = SamePicture(min_urls=8, max_distance=2)
    blocklist, summary = tally(near, rows, tmp_path)
    assert [row["phash"] for row in blocklist.to_pylist()] == sorted(hashes)
    assert (summary["pictures"], summary["media"]) == (1, 30)
    assert summary["largest"][0]["files"] == 30
    assert {entry["host"]: entry["media"] for entry in summary["hosts"]} == {
        f"h{n}.example": 10 for n in range(3)
    }
    assert flagged(near, rows, blocklist) == list(range(30))
    assert tally(SamePicture(min_urls=8, max_distance=0), rows, tmp_path)[1]["pictures"] == 3
    assert tally(SamePicture(min_urls=8, max_distance=None), rows, tmp_path)[1] == {}


def test_a_medium_near_a_frequent_hash_goes_with_it(tmp_path):
    rows = [
        *placeholders(9, phash="0f0f0f0f0f0f0f0f"),
        fate("http://x.example/1", "once", "0f0f0f0f0f0f0f0e"),
    ]
    step = SamePicture(min_urls=9)
    blocklist, summary = tally(step, rows, tmp_path)
    assert summary["media"] == 10
    assert flagged(step, rows, blocklist) == list(range(10))


def test_the_verdict_depends_on_neither_order_nor_batches_nor_memory(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    rows = [
        fate(
            f"http://h{rng.integers(9)}.example/{n}", f"b{rng.integers(30)}", f"{rng.integers(40) << 7:016x}"
        )
        for n in range(2000)
    ]
    step = SamePicture(min_urls=20, max_distance=1)
    wanted = tally(step, rows, tmp_path, size=100)
    shuffled = [rows[n] for n in rng.permutation(len(rows))]
    assert tally(step, shuffled, tmp_path, size=333) == wanted
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 256)
    assert tally(step, shuffled, tmp_path, size=50) == wanted
    assert not list(tmp_path.iterdir())
    assert len(wanted[0]) > 10


def test_odd_addresses_have_hosts(tmp_path):
    urls = [
        "HTTP://User:pw@Big.Example:8080/a?b=http://no",
        "https://[::1]:9/x",
        "http://big.example#f",
        "//x",
        "",
    ]
    rows = [fate(url, "placeholder") for url in urls]
    _, summary = tally(SamePicture(min_urls=2), rows, tmp_path)
    assert {e["host"]: e["media"] for e in summary["hosts"]} == {"big.example": 2, "[::1]": 1, "?": 2}


def test_fates_without_hashes_say_nothing(tmp_path):
    rows = [fate(f"http://a.example/{n}", None, reason="http_404") for n in range(30)]
    assert tally(SamePicture(), rows, tmp_path)[1] == {}
    assert flagged(SamePicture(), rows, tally(SamePicture(), rows, tmp_path)[0]) == []


@pytest.mark.parametrize("wrong", [{"min_urls": 1}, {"max_distance": 9}, {"max_distance": -1}])
def test_wrong_settings_are_said(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SamePicture(**wrong)


def test_it_is_set_like_any_step():
    recipe = load("coyo-700m", {}, {"same_picture.drop": "true", "same_picture.max_distance": "none"})
    step = next(step for step in recipe.steps if step.name == "same_picture")
    assert step == SamePicture(drop=True, max_distance=None)
    assert step.decisive
    assert step.drops == {Reason.SAME_PICTURE}
