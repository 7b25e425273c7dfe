"""Faults of an object store, each with its right outcome: moto plays S3, a proxy spoils requests."""

from __future__ import annotations

import pytest
from small_world import Watcher, job, url, write_list
from store_proxy import StoreProxy

from gristmill.ledger.ledger import Ledger
from gristmill.run.driver import run
from gristmill.spec.errors import MachineError
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.testing.web import FakeWeb

LARGE = bytes(range(256)) * (44 << 10)
PASSING = [
    ("before", 503, "SlowDown"),
    ("before", 429, "rateLimitExceeded"),
    ("before", 0, ""),
    ("after", 500, "InternalError"),
    ("after", 0, ""),
]


@pytest.fixture
def proxy(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gristmill.storage.object._PART_BYTES", 5 << 20)  # S3's least
    monkeypatch.setattr("gristmill.storage.object._PAUSES_S", (0, 0))
    made = StoreProxy(bucket)
    yield made
    made.close()


@pytest.fixture
def store(proxy, tmp_path):
    return answering(proxy, f"s3://bucket/{tmp_path.name}")


def answering(proxy, url):
    """A store that is known to answer: the first request of all is another one."""
    store = ObjectStore(url, proxy.options)
    assert store.size("x") is None
    proxy.asked.clear()
    return store


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_asked_again_and_what_was_put_is_known_as_ours(proxy, store, fault):
    for ask, wanted in (
        (lambda: store.put_if_absent("run.json", b"own"), True),
        (lambda: store.put("card", b"card"), None),
        (lambda: store.read("card"), b"card"),
        (lambda: [one.size_bytes for one in store.list()], [4, 3]),
        (lambda: store.delete("card"), None),
        (store.keeps_what_is_first, True),
    ):
        proxy.once(fault)
        assert ask() == wanted
        assert len(proxy.asked) > 1
    assert not store.put_if_absent("run.json", b"another's")
    assert store.read("run.json") == b"own"


@pytest.mark.parametrize(
    ("of", "fault"),
    [
        ("?uploads", ("after", 0, "")),
        ("partNumber=2", ("before", 0, "")),
        ("?uploadId", ("after", 500, "InternalError")),
        ("?uploadId", ("after", 404, "NoSuchUpload")),
        ("?uploadId", ("before", 400, "InvalidBlockList")),
    ],
)
def test_a_large_object_is_there_whole_whatever_part_of_putting_it_is_spoilt(proxy, store, of, fault):
    proxy.once(fault, lambda method, path: of in path and (method == "POST") == (of[0] == "?"))
    store.put("large", LARGE)
    assert store.read("large") == LARGE


def test_of_a_large_object_that_is_refused_nothing_is_there(proxy, store):
    proxy.once(("before", 403, "QuotaExceeded"), lambda method, path: "partNumber=2" in path)
    with pytest.raises(MachineError, match="make room there, then give the same command again"):
        store.put("large", LARGE)
    assert store.size("large") is None
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (("before", 400, "ExpiredToken"), r"ExpiredToken.*give credentials that hold \(AWS_ACCESS_KEY_ID"),
        (("before", 403, "AccessDenied"), "may not write there .AccessDenied.*give credentials that may"),
        (("before", 403, "at http://169.254.169.254/latest"), "no credentials were given.*AWS_ACCESS_KEY_ID"),
        (("before", 507, "XMinioStorageFull"), "has no room left .*make room there"),
        (("before", 503, "SlowDown"), "is overrun, or out of order .*wait a while"),
        (("before", 404, "NoSuchBucket"), "there is no such bucket. Create it"),
        (
            ("before", 0, ""),
            r"does not answer at http://127\.0\.0\.1:\d+ \(.*check the network and the endpoint",
        ),
    ],
)
def test_what_a_store_refuses_is_told_with_what_to_do(proxy, monkeypatch, fault, said):
    monkeypatch.setattr("gristmill.storage.object._RETRIES", {"max_retries": 0})
    store = answering(proxy, "s3://bucket/refused")
    proxy.faults = lambda method, path: fault
    with pytest.raises(MachineError, match=said):
        store.put("run.json", b"1")
    assert len(proxy.asked) == (3 if fault[1] == 0 else 1)


def test_a_run_whose_credentials_expire_says_so_and_goes_on_with_new_ones(proxy, store, tmp_path):
    """All that was finished is kept, and of the rest little is asked for twice."""
    fault = ("before", 400, "ExpiredToken")
    with FakeWeb() as web:
        place = write_list(tmp_path / "list.parquet", [url(web, n) for n in range(24)])
        settings = {"rows.part_rows": "6"}
        run(job(place, tmp_path / "whole", settings=settings), Watcher())
        web.forget()
        for _ in range(2):
            proxy.asked.clear()
            proxy.faults = lambda method, path: (
                fault
                if sum("/records/" in path for method, path in proxy.asked if method == "PUT") > 2
                else None
            )
            with pytest.raises(MachineError, match=r"ExpiredToken.*same command again"):
                run(job(place, store, settings=settings), Watcher())
        proxy.faults = lambda method, path: None
        assert len(Ledger(store).records) >= 4
        assert run(job(place, store, settings=settings), Watcher()).complete
        assert max(web.hits.values()) <= 4
    whole = LocalStore(tmp_path / "whole")
    made = [one for one in whole.list("shards") if "_stats" not in one.name]
    assert [store.read(one.name) for one in made] == [whole.read(one.name) for one in made] != []
