"""What all tests share: property tests give the same examples on every run, and runs within the tests' process
start no decoders and wait for no disk."""

import gc
import json
import os
import runpy
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

from gristmill.media.video.pool import VideoPool, require_video
from gristmill.media.wire import lead_of

settings.register_profile(
    "quick",
    deadline=None,
    derandomize=True,
    print_blob=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # what it holds is written anew each time
)
settings.register_profile("long", settings.get_profile("quick"), max_examples=100)
settings.load_profile("quick")
# One authority that has signed nothing: each process that crawls reads all of the system's otherwise, in 80 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))
# No test asks a cloud, nor the address at which a cloud's machines ask for their credentials.
os.environ |= {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_ENDPOINT": "http://127.0.0.1:9",
    "AWS_ALLOW_HTTP": "true",
    "AZURE_STORAGE_ACCOUNT_NAME": "nobody",
    "AZURE_STORAGE_ACCOUNT_KEY": "bm90aGluZw==",
    "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9",
    "GOOGLE_BASE_URL": "http://127.0.0.1:9",
    "GOOGLE_BEARER_TOKEN": "nothing",
}
# No test asks anybody beyond this machine, nor do the processes that it starts.
_GUARD = Path(__file__).with_name("loopback_only")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_GUARD), os.environ.get("PYTHONPATH"))))
runpy.run_path(str(_GUARD / "sitecustomize.py"))
gc.disable()  # while tests are collected, of which none is garbage


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end: no later collection of garbage need look at them."""
    gc.freeze()
    gc.enable()


class DecodesHere:
    """A ``CodecPool`` without processes. To load the codecs takes longer than most runs of tests."""

    def __init__(self, settings, **_):
        self._settings = settings

    async def transcode(self, body):
        from gristmill.media.image import transcode

        return transcode(body, self._settings)

    async def close(self):
        pass


class DecodesVideosHere(VideoPool):
    """A ``VideoPool`` without processes: its library takes longer to load than the tests' videos to cut."""

    def __init__(self, settings, **_):
        require_video()
        self._settings = settings

    async def insist(self, job):
        return await job(_VideosHere(self._settings))

    async def close(self):
        pass


class _VideosHere:
    """A child of that pool: it has done all that is asked of it before it says the first word."""

    def __init__(self, settings):
        self.busy, self._settings, self._said = False, settings, []

    async def ask(self, lead, data):
        from gristmill.media.video.worker import answered

        def tell(facts, stored):
            self._said.append((json.loads(json.dumps(facts)), stored))

        asked = lead[len(lead_of(b"")) : -len(lead_of(data))]
        tell(answered(json.loads(asked), data, self._settings, tell), b"")
        return await self.hear()

    async def hear(self):
        facts, stored = self._said.pop(0)
        self.busy = bool(self._said)
        return facts, stored


@pytest.fixture(scope="session", autouse=True)
def decoding_here() -> Iterator[None]:
    """For runs in this process; commands and workers in processes of their own have decoders as ever."""
    with pytest.MonkeyPatch.context() as patch:
        for user in (
            "media.pool",  # of whom it is imported where it is used
            "steps.transcoders.image",
            "steps.conversations.pictures",
            "run.maintenance.verify",
            "viewer.samples",
        ):
            patch.setattr(f"gristmill.{user}.CodecPool", DecodesHere)
        for user in (
            "exports._frames",
            "steps.acquirers.video",
            "steps.conversations.pictures",
            "steps.transcoders.video",
            "run.maintenance.verify",
            "viewer.samples",
        ):
            patch.setattr(f"gristmill.{user}.VideoPool", DecodesVideosHere)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_disk_awaited() -> Iterator[None]:
    """What is killed here is a process, never the system, which keeps what was written: a fifth of a run's time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in {"fsync", "fdatasync"} & set(dir(os)):
            patch.setattr(os, name, lambda fd: None)
        yield


@pytest.fixture(scope="session")
def bucket() -> Iterator[dict[str, str]]:
    """Options of a server that plays S3 in this process, with a bucket."""
    pytest.importorskip("obstore")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    asked = HTTPConnection(host, port)
    asked.request("PUT", "/bucket", headers={"Host": f"{host}:{port}"})
    assert asked.getresponse().read() is not None
    asked.close()
    yield {
        "endpoint": f"http://{host}:{port}",
        "access_key_id": "own",
        "secret_access_key": "own",
        "region": "us-east-1",
    }
    server.stop()


@pytest.fixture(scope="session")
def google() -> Iterator[dict[str, str]]:
    """Options of a server that plays Google Cloud Storage in this process, with a bucket."""
    pytest.importorskip("obstore")
    from gristmill.testing.gcs import FakeGcs

    with FakeGcs() as server:
        yield server.options


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Options of Azurite, which Microsoft plays Azure with, with a container."""
    pytest.importorskip("obstore")
    from gristmill.testing.azurite import azurite, program

    if program() is None:
        pytest.skip("needs Azurite: make test-azure")
    with azurite(tmp_path_factory.mktemp("azurite")) as options:
        yield options


@pytest.fixture(params=["here", pytest.param("served", marks=pytest.mark.slow)])
def either_bucket(request, tmp_path, monkeypatch) -> dict[str, str]:
    """Options of ``bucket``, or where obstore keeps objects in a folder: a third of the time, and no request.

    Whoever does not give its endpoint does not get there.
    """
    if request.param == "served":
        return request.getfixturevalue("bucket")
    store, endpoint = pytest.importorskip("obstore.store"), "http://127.0.0.1:9"

    def here(url: str, config: dict[str, str] | None = None, **_: object) -> object:
        given = (config or {}).get("endpoint", os.environ.get("AWS_ENDPOINT_URL"))
        assert given == endpoint, url
        parts = urlsplit(url)
        return store.LocalStore(tmp_path / "buckets" / parts.netloc / parts.path.strip("/"), mkdir=True)

    monkeypatch.setattr(store, "from_url", here)
    return {
        "endpoint": endpoint,
        "access_key_id": "own",
        "secret_access_key": "own",
        "region": "us-east-1",
    }
