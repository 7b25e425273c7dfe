"""Object stores over their own protocol: S3 as moto plays it, on loopback, and one that knows no conditions."""

import errno
import hashlib
import pickle
import socket
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from gristmill.spec.errors import DamagedOutput, MachineError, UsageError
from gristmill.storage.files import machine_error
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.storage.silence import tell_silence
from gristmill.storage.store import store_at

pytest.importorskip("obstore")


class Forgetful(BaseHTTPRequestHandler):
    """Puts whatever comes, on whatever condition, as some servers of S3's protocol do."""

    protocol_version = "HTTP/1.1"

    def answer(self, status=200, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"1"', **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.server.puts.append((self.path, self.headers.get("If-None-Match")))
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(*self.server.answers.pop(0) if self.server.answers else ())

    def do_GET(self):
        if self.path.endswith("/slow"):
            self.drip(self.server.slow, self.headers.get("Range"))
            return
        self.answer(*self.server.gets.pop(0) if self.server.gets else (404,))

    do_HEAD = do_GET

    def drip(self, body, asked):
        """Some bytes now and then, of which a request in time gets a part."""
        self.server.ranges.append(asked)
        first, last = (asked or f"bytes=0-{len(body) - 1}").removeprefix("bytes=").split("-")
        wanted = body[int(first) : int(last or len(body) - 1) + 1]
        where = f"bytes {first}-{int(first) + len(wanted) - 1}/{len(body)}"
        self.send_response(206 if asked else 200)
        for name, value in {
            "Content-Length": len(wanted),
            "ETag": '"1"',
            "Last-Modified": "Wed, 02 Dec 2026 10:00:00 GMT",
            **({"Content-Range": where} if asked else {}),
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        with suppress(OSError):
            for start in range(0, len(wanted), 600):
                self.wfile.write(wanted[start : start + 600])
                self.server.over.wait(0.12)

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, *_):
        pass


@pytest.fixture
def forgetful():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    server.puts, server.answers, server.gets = [], [], []
    server.daemon_threads = True
    server.ranges, server.over = [], Event()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def at(server, **more):
    endpoint = f"http://127.0.0.1:{server.server_port}"
    options = {"endpoint": endpoint, "access_key_id": "own", "secret_access_key": "s3cr3t", "region": "x"}
    return ObjectStore("s3://bucket/data", {**options, **more})


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))


def test_a_store_that_puts_in_spite_of_a_condition_is_found_out(forgetful):
    assert not at(forgetful).keeps_what_is_first()
    assert [condition for _, condition in forgetful.puts] == ["*", "*"]
    assert ObjectStore("memory://probed").keeps_what_is_first()


def test_what_a_store_refuses_is_said_in_a_sentence_without_secrets(forgetful):
    said = b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>"
    forgetful.answers = [(400, said), (404, b"<Error><Code>NoSuchBucket</Code></Error>")]
    with pytest.raises(
        MachineError, match=r"s3://bucket/data/run.json: .*expired \(ExpiredToken: The token has expired\)"
    ) as caught:
        at(forgetful).put("run.json", b"1")
    assert "s3cr3t" not in f"{caught.value}{at(forgetful)!r}"
    with pytest.raises(MachineError, match="no such bucket"):
        at(forgetful).put("run.json", b"1")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "InvalidAccessKeyId", r"does not know this access key \(InvalidAccessKeyId: Played\)"),
        (403, "SignatureDoesNotMatch", "the secret key is not that of the access key"),
        (400, "InvalidToken", "the session token is none of the store's"),
        (403, "RequestTimeTooSkewed", "the clock of this machine is wrong"),
        (400, "AuthorizationHeaderMalformed", r"in another region \(.*AWS_REGION=eu-central-1, or"),
        (301, "PermanentRedirect", "the bucket is in another region"),
        (403, "AccessDenied", r"may not write there \(AccessDenied: .*have that allowed, or give"),
        (418, "Teapot", "the store said: Teapot: Played. Nothing finished is lost: put it right"),
    ],
)
def test_each_refusal_has_a_sentence(forgetful, status, code, said):
    region = "<Region>eu-central-1</Region>"
    body = f"<Error><Code>{code}</Code><Message>Played. And more.</Message>{region}</Error>"
    forgetful.answers = [(status, body.encode())]
    with pytest.raises(MachineError, match=said) as caught:
        at(forgetful).put("run.json", b"1")
    assert len(str(caught.value)) < 300


def test_what_azure_calls_a_conflict_is_not_always_that_another_was_first(forgetful):
    endpoint = f"http://127.0.0.1:{forgetful.server_port}/own"
    store = ObjectStore(
        "az://bucket/data", {"account_name": "own", "account_key": "a2V5", "endpoint": endpoint}
    )
    forgetful.answers = [
        (409, b"<Error><Code>BlobAlreadyExists</Code></Error>"),
        (409, b"<Error><Code>ContainerBeingDeleted</Code></Error>"),
    ]
    assert not store.put_if_absent("run.json", b"1")
    with pytest.raises(MachineError, match="ContainerBeingDeleted"):
        store.put_if_absent("run.json", b"1")


def test_why_a_head_was_refused_is_asked_for(forgetful):
    assert at(forgetful).size("run.json") is None
    forgetful.gets = [(403, b""), (403, b"<Error><Code>AccessDenied</Code></Error>")]
    with pytest.raises(MachineError, match=r"may not read or list what is there \(AccessDenied\)"):
        at(forgetful).size("run.json")
    forgetful.gets = [(403, b""), (403, b"")]
    with pytest.raises(MachineError, match=r"may not read or list what is there \(403 Forbidden\)"):
        at(forgetful).size("run.json")


def test_a_place_that_does_not_answer_is_told_soon_and_given_up(monkeypatch):
    monkeypatch.setattr("gristmill.storage.object._FIRST_S", (1.5, 1.5))
    monkeypatch.setattr("gristmill.storage.silence._SILENT_S", 0.02)
    told = []
    tell_silence(told.append)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            where = silent.getsockname()[1]
            with pytest.raises(MachineError) as caught:
                at(type("Server", (), {"server_port": where})).put("run.json", b"1")
        address = f"http://127.0.0.1:{where}"
        waiting = f"waiting for s3://bucket/data at {address}, which has not answered"
        assert told
        assert all(waiting in one for one in told)
        assert f"s3://bucket/data: the store does not answer at {address} (no answer came in time)" in str(
            caught.value
        )
        monkeypatch.setattr("gristmill.storage.object._RETRIES", {"max_retries": 0})
        with pytest.raises(MachineError, match=rf"{address} \(Connection refused\).*AWS_ENDPOINT_URL"):
            at(type("Server", (), {"server_port": where})).put("run.json", b"1")
    finally:
        tell_silence(lambda said: None)


@pytest.mark.slow
def test_a_body_may_take_its_time_and_what_has_come_is_gone_on_with(forgetful, monkeypatch):
    monkeypatch.setattr("gristmill.storage.object._SOON_S", (0.1, 0.1))
    monkeypatch.setattr("gristmill.storage.object._BODIES_S", (0.4, 5))
    body = bytes(range(256)) * 12
    assert at(forgetful).size("x") is None
    forgetful.slow = body
    assert at(forgetful).fetch("slow").read_bytes() == body
    assert at(forgetful).read("slow", 100, 2000) == body[100:2100]
    assert len(forgetful.ranges) > 2  # what was cut off was asked for from there on


def test_a_put_that_was_answered_503_is_tried_again(forgetful):
    forgetful.answers = [(503, b"<Error><Code>SlowDown</Code></Error>")]
    at(forgetful).put("run.json", b"1")
    assert [path for path, _ in forgetful.puts] == ["/bucket/data/run.json"] * 2


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///prefix", "s3://bucket//x", "s3://bucket/../x", "s3://bucket/x?y"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsageError, match="BUCKET/PREFIX"):
        store_at(url)


def test_addresses_are_stores_and_file_is_a_folder(tmp_path):
    assert store_at("s3://bucket/a/b/") == ObjectStore("s3://bucket/a/b") == store_at("s3://bucket/a") / "b"
    assert store_at(type(tmp_path)("s3://bucket/a")) == ObjectStore("s3://bucket/a")
    assert store_at(f"file://{tmp_path}") == LocalStore(tmp_path)
    assert (store_at("gs://bucket/a").title, store_at("s3://bucket").title) == ("a", "bucket")
    store = at(type("Server", (), {"server_port": 1}), timeout="3s")
    assert pickle.loads(pickle.dumps(store)).options == store.options


def test_an_option_that_no_store_has_is_refused():
    with pytest.raises(UsageError, match=r"nonsense.*--store-option"):
        ObjectStore("s3://bucket/a", {"nonsense": "1"}).size("x")


def test_what_was_fetched_longest_ago_goes_where_it_is_too_much(monkeypatch):
    monkeypatch.setattr("gristmill.storage.copies._KEPT_BYTES", 1000)
    monkeypatch.setattr("gristmill.storage.copies._IN_USE_S", -1.0)
    store = ObjectStore("memory://kept")
    for n in range(4):
        store.put(f"{n}.bin", bytes(400))
    first = store.fetch("0.bin").open("rb")
    paths = [store.fetch(f"{n}.bin") for n in range(4)]
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert store.fetch("0.bin").read_bytes() == bytes(400)
    with first:
        assert len(first.read()) == 400


def test_on_a_small_disk_copies_take_no_more_than_they_leave(monkeypatch):
    monkeypatch.setattr("gristmill.storage.copies._IN_USE_S", -1.0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=500))
    store = ObjectStore("memory://small-disk")
    for n in range(4):
        store.put(f"{n}.bin", bytes(400))
    paths = [store.fetch(f"{n}.bin") for n in range(4)]
    assert [path.exists() for path in paths] == [False, False, False, True]


def test_a_full_disk_here_is_told_with_what_to_type(monkeypatch, tmp_path):
    @contextmanager
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    monkeypatch.setattr("gristmill.storage.object.whole_file", full)
    store = ObjectStore("memory://full-disk")
    store.put("x", b"1")
    with pytest.raises(OSError, match="No space") as caught:
        store.fetch("x")
    said = str(machine_error(caught.value))
    assert said.startswith(f"{tmp_path / 'cache'}: ")
    assert "GRISTMILL_CACHE=DIR" in said


def test_a_folder_of_copies_that_cannot_be_made_is_not_an_object_that_is_not_there(monkeypatch):
    store = ObjectStore("memory://no-folder")
    store.put("x", b"1")
    monkeypatch.setenv("GRISTMILL_CACHE", "/proc/none")  # where the system makes no folder
    with pytest.raises(MachineError, match=r"/proc/none.*GRISTMILL_CACHE=DIR"):
        store.fetch("x")
    with pytest.raises(FileNotFoundError, match="not in this store"):
        store.fetch("y")


@pytest.mark.parametrize("start", [0, 2])
def test_the_rest_of_a_file_is_no_more_than_memory_should_hold(monkeypatch, start):
    monkeypatch.setattr("gristmill.storage.object.STATE_BYTES", 8)
    store = ObjectStore("memory://rest")
    store.put("x", bytes(start) + b"12345678")
    assert store.read("x", 2) == b"12345678"[2 - start :]
    store.put("x", bytes(start) + b"123456789")
    with pytest.raises(DamagedOutput, match="memory://rest/x is larger"):
        store.read("x", start)


def test_requests_and_bytes_are_counted():
    store = ObjectStore("memory://counted")
    store.put("a", b"12")
    store.put_if_absent("a", b"345")
    store.fetch("a")
    store.fetch("a")
    assert store.asked() == {"put": 2, "get": 2, "head": 1, "bytes_out": 2, "bytes_in": 4}
    assert store.asked() == {}


def test_what_was_put_to_be_read_soon_is_not_fetched_by_the_machine_that_put_it(
    bucket, tmp_path, monkeypatch
):
    monkeypatch.setattr("gristmill.storage.object._PART_BYTES", 5 << 20)
    store = ObjectStore(f"s3://bucket/{tmp_path.name}", bucket)
    spool, index, large = (f".gristmill/crawled/1.{kind}" for kind in ("spool", "index", "large"))
    own = store.work(spool)
    own.parent.mkdir(parents=True)
    own.write_bytes(b"first")
    store.put(spool, own)
    own.write_bytes(b"second")  # a kill, and it was gone on with
    store.put(spool, own)
    assert store.fetch(spool).read_bytes() == b"second"  # from the store, as nothing is settled
    store.settle(spool, "as its record says")
    assert not own.exists()
    for name, body in ((index, b"index"), (large, bytes(6 << 20)), ("shards/0.tar", b"shard")):
        with store.writing(name) as stream:
            stream.write(body)
    store.asked()
    assert [store.fetch(name).stat().st_size for name in (spool, index, large)] == [6, 5, 6 << 20]
    assert store.asked() == {"head": 3}
    store.settle(index, "of what it holds")
    assert store.fetch(spool, "as its record says").read_bytes() == b"second"
    assert store.fetch(index, "of what it holds").read_bytes() == b"index"
    assert store.asked() == {}
    assert store.fetch(index, "of another record").read_bytes() == b"index"
    assert store.asked() == {"head": 1}
    store.fetch("shards/0.tar")
    assert store.asked()["get"] == 1
    ObjectStore(store.url, bucket).put(index, b"another")  # from another machine
    assert store.fetch(index, "of what it holds").read_bytes() == b"index"
    assert store.asked() == {"put": 1, "bytes_out": 7}
    assert store.fetch(index).read_bytes() == b"another"
    digest = hashlib.sha256(b"another").hexdigest()
    assert store.asked()["get"] == 1
    assert store.fetch(index, digest).read_bytes() == b"another"
    assert store.asked() == {}
    with store.writing(index) as stream:  # its task was done anew: what was is not told for what is
        stream.write(b"anew")
    assert store.fetch(index, "of what it holds").read_bytes() == b"anew"
    store.delete(spool)
    assert not list((tmp_path / "cache").rglob("1.spool"))
    assert not [path for path in own.parent.iterdir() if path.is_file()]


def test_a_copy_of_what_was_there_before_is_not_given_for_a_new_record(monkeypatch, tmp_path):
    store = ObjectStore("memory://older-copy")
    put = partial(_put_by, monkeypatch, tmp_path, store)
    put("another", b"fetched")
    assert store.fetch(_INDEX).read_bytes() == b"fetched"
    put("another", b"by its record")
    store.settle(_INDEX, "of the record")
    assert store.fetch(_INDEX, "of the record").read_bytes() == b"by its record"


def test_a_copy_keeps_the_digest_of_its_own_record(monkeypatch, tmp_path):
    store = ObjectStore("memory://own-copy")
    put = partial(_put_by, monkeypatch, tmp_path, store)
    put("cache", b"first")
    store.settle(_INDEX, "of the first record")
    put("another", b"second")
    store.settle(_INDEX, "of the second record")
    assert store.fetch(_INDEX, "of the second record").read_bytes() == b"second"


_INDEX = ".gristmill/crawled/1.index"


def _put_by(monkeypatch, tmp_path, store, machine, body):
    """Put the index from a machine, which is a folder of copies."""
    with monkeypatch.context() as there:
        there.setenv("GRISTMILL_CACHE", str(tmp_path / machine))
        with store.writing(_INDEX) as stream:
            stream.write(body)
