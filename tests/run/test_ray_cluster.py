"""What is known of a Ray cluster without Ray: whether its head answers, whether it has room, what a node is told."""

import pickle
import socket
import sys
import threading
import time
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from gristmill.ledger.run_config import InputFile
from gristmill.run.executors import _cluster
from gristmill.run.executors._cluster import Head, connected, most_workers, named
from gristmill.run.executors._relay import lacking
from gristmill.run.workers.messages import WorkerStart
from gristmill.spec.errors import MachineError
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore


def test_a_head_that_answers_no_more_is_told_and_one_that_comes_back_is_not(monkeypatch):
    monkeypatch.setattr(_cluster, "_LOOKS_EVERY_S", 0.01)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    head = Head(f"127.0.0.1:{port}")

    def told() -> str:
        try:
            head.check()
        except MachineError as err:
            return str(err)
        return ""

    def wait_until(expected: bool) -> None:
        deadline = time.monotonic() + 30
        while bool(told()) != expected:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with listening:
        wait_until(False)
    wait_until(True)
    assert f"the head of the Ray cluster, 127.0.0.1:{port}, does not answer any more" in told()
    with socket.create_server(("127.0.0.1", port)):
        wait_until(False)


def answering(monkeypatch, answer: bytes) -> socket.socket:
    """A server that says so to the first who speaks to it; ``RAY_ADDRESS`` names it."""
    listening = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{listening.getsockname()[1]}")

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return listening


def test_an_address_where_no_head_listens_is_told_at_once(monkeypatch):
    with (
        answering(monkeypatch, b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        pytest.raises(MachineError, match="a server of another kind listens there"),
    ):
        named()


VERSIONS = """Version mismatch: The cluster was started with:
    Ray: 2.55.1
    Python: 3.12.1
This process on 127.0.0.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (VERSIONS, r"has Ray 2\.55\.1 and Python 3\.12\.1.*pip install ray==2\.55\.1, under Python 3\.12\.1"),
        ("... no authentication token was found", r"copy ~/\.ray/auth_token from the head"),
        ("Failed to connect to Ray cluster", "its token is another.*Or it is not the head's port"),
        ("Something else.\nAnd more", "no Ray cluster answers at .*: Something else. Look at `ray status`"),
    ],
)
def test_why_ray_does_not_connect_is_told_with_what_to_type(monkeypatch, said, told):
    def init(**_: object) -> None:
        raise ray.exceptions.RayError(said)

    ray = ModuleType("ray")
    ray.__spec__ = ModuleSpec("ray", None)
    ray.exceptions, ray.init = SimpleNamespace(RayError=type("RayError", (Exception,), {})), init
    monkeypatch.setitem(sys.modules, "ray", ray)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "1")
    with answering(monkeypatch, b"\0\0\0\4\0\0\0\0\0"), pytest.raises(MachineError, match=told):
        connected()


def test_a_file_that_is_to_be_read_and_is_not_on_a_node_is_named(tmp_path):
    here, gone, far = (
        InputFile(source="rows", name=name, size_bytes=1, digest="0", path=path)
        for name, path in (("a", str(tmp_path / "a")), ("b", str(tmp_path / "b")), ("c", "s3://bucket/c"))
    )
    (tmp_path / "a").write_text("1")
    start = WorkerStart(load=dict, store=LocalStore(tmp_path), inputs=(here,), remotes={}, only=None)
    assert lacking(start) is None
    assert lacking(replace(start, aux=(gone,))) == gone.path
    assert lacking(replace(start, media=(gone,))) == gone.path
    assert lacking(replace(start, inputs=(far,))) is None


def node(cpus: float, gib: float, alive: bool = True) -> dict[str, object]:
    return {"Alive": alive, "Resources": {"CPU": cpus, "memory": gib * 2**30}}


def test_a_cluster_has_room_on_nodes_that_live_and_have_the_memory():
    nodes = [
        node(4, 8),
        node(3, 2),
        node(64, 0.5),
        node(64, 64, alive=False),
        {"Alive": True, "Resources": {}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)
    assert most_workers(ray, 1, 1) == 7
    assert most_workers(ray, 2, 4) == 2
    with pytest.raises(MachineError, match=r"0 CPU, 0 GiB, 3 CPU, 2 GiB, 4 CPU, 8 GiB, 64 CPU, 0\.5 GiB"):
        most_workers(ray, 4, 16)


def test_beside_an_object_store_each_machine_has_sources_where_its_own_cache_is(monkeypatch, tmp_path):
    store = ObjectStore("s3://bucket/made", {})
    start = pickle.dumps(WorkerStart(load=dict, store=store, inputs=(), remotes={}, only=None))
    for cache in (tmp_path / "here", tmp_path / "there"):
        monkeypatch.setenv("GRISTMILL_CACHE", str(cache))
        context = pickle.loads(start).context(lambda progress: None)
        assert cache in context.shared.parents
        assert cache in context.sources("rows").parents
