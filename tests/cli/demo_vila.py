"""``make demo-vila``: all parts of ``vila-v1.5`` in small, as a person would type it, on made-up upstreams.

Usage: ``python tests/cli/demo_vila.py [OUT]`` (default: ``demo-vila``, emptied of an earlier demo first).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from whole_vila import BY_HAND, write_world

from gristmill.spec.command import to_type
from gristmill.testing.hub import FakeHub
from gristmill.testing.web import FakeWeb

GRISTMILL = str(Path(sys.executable).with_name("gristmill"))
POLITE = ("--contact", "https://example.org/demo", "--allow-private-addresses")


def main(base: Path) -> int:
    """Run it, fetch "by hand" what waits, run it again, look at it and export it; 0 if all is finished."""
    _make_room(base)
    out, upstream = base / "data", base / "upstream"
    with FakeWeb(hosts=2) as web:
        repositories, copies = write_world(upstream, web)
        given = [word for typed, place in copies.items() for word in ("--source", f"{typed}={place}")]
        run = ["run", "vila-v1.5", "--out", str(out), "--only", "8", *POLITE]
        with FakeHub(repositories, any_revision=True) as hub:
            os.environ["HF_ENDPOINT"] = hub.url
            waits = _typed(*run, shown=(*run, "--source ..."), given=given)
            print(f"\nExit code {waits}: what only a person can fetch is now put into {out / 'sources'}.")
            for name in BY_HAND:
                shutil.copytree(upstream / "by-hand" / name, out / "sources" / name, copy_function=os.link)
            _typed(*run, shown=(*run, "--source ..."), given=given)
    looked = _typed("status", str(out))
    exported = _typed("export", str(out), "--to", "vila", "--leave-out", "--out", str(base / "vila"))
    print(f"\nIn a browser: {out / 'vila-v1.5.html'}. What VILA's release reads: {base / 'vila'}.")
    return looked or exported


def _typed(*words: str, shown: tuple[str, ...] = (), given: list[str] | None = None) -> int:
    print(f"\n$ {to_type(*(shown or words))}", flush=True)
    began = time.monotonic()
    code = subprocess.run([GRISTMILL, *words, *(given or ())], check=False).returncode
    print(f"({time.monotonic() - began:.0f} s, exit code {code})", flush=True)
    return code


def _make_room(base: Path) -> None:
    mark = base / ".gristmill-demo"
    if base.exists() and any(base.iterdir()) and not mark.exists():
        sys.exit(f"{base} holds something that is not a demo's; name another folder.")
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    mark.touch()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-vila")))
