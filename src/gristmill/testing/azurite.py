"""Azurite on loopback: Microsoft's emulator of Azure Blob Storage, which keeps on disk what it is given, for trials.

Its program is npm's ``azurite``, which runs under Node: ``make test-azure`` installs it into ``.azurite``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from gristmill.spec.errors import MachineError, UsageError

__all__ = ["azurite", "program"]

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Opens the account that each Azurite has. It is published with it, and opens nothing else."""
_VERSION = "2021-08-06"
_UP_S = 60.0


def program() -> str | None:
    """Say where ``azurite-blob`` is: in ``.azurite`` of the working folder, or on the path; None where nowhere."""
    return shutil.which("azurite-blob", path=".azurite/node_modules/.bin") or shutil.which("azurite-blob")


@contextmanager
def azurite(folder: Path, container: str = "bucket") -> Iterator[dict[str, str]]:
    """Run a server until the block ends; gives the options of an ``ObjectStore`` in its one container.

    Args:
        folder: Where it keeps what it is given, and what it says (``log``).
        container: Its name.

    Raises:
        UsageError: Azurite is not installed.
        MachineError: It does not come up.
    """
    found = program()
    if found is None:
        raise UsageError("needs Azurite. Give: make test-azure")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dies_with_us = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
    words = [
        *dies_with_us,
        *(str(Path(found).absolute()), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--location", str(folder / "data"), "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    with (folder / "log").open("ab") as log:
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _UP_S
        while server.poll() is None and time.monotonic() < deadline:
            if _makes_container(port, container):
                break
            time.sleep(0.1)
        else:
            raise MachineError(f"Azurite does not come up: see {folder / 'log'}")
        yield {
            "endpoint": f"http://127.0.0.1:{port}/{_ACCOUNT}",
            "account_name": _ACCOUNT,
            "account_key": _KEY,
        }
    finally:
        server.kill()
        server.wait()


def _makes_container(port: int, container: str) -> bool:
    """Ask for a container, signed as Azure wants it: the client of the store makes none."""
    stamp = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
    lines = [f"{name}:{value}" for name, value in stamp.items()]
    signed = "\n".join(
        ["PUT", *[""] * 11, *lines, f"/{_ACCOUNT}/{_ACCOUNT}/{container}", "restype:container"]
    )
    code = hmac.new(base64.b64decode(_KEY), signed.encode(), hashlib.sha256).digest()
    stamp["Authorization"] = f"SharedKey {_ACCOUNT}:{base64.b64encode(code).decode()}"
    asked = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asked.request("PUT", f"/{_ACCOUNT}/{container}?restype=container", headers=stamp)
        return asked.getresponse().status in (201, 409)
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()
