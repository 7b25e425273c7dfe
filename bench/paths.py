"""Where the benchmarks keep their files, and how they say what they are doing."""

import shutil
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
WORK = REPO / "bench" / ".work"
PACKAGES = WORK / "packages"
CORPUS = WORK / "corpus"
LISTS = WORK / "lists"
RESULTS = WORK / "results"
SERVER = WORK / "nginx"
IMG2DATASET_VENV = WORK / "venv-img2dataset"
SHIPPED_PHOTOS = REPO / "src" / "gristmill" / "testing" / "photos"


def say(text: str) -> None:
    """Talk on stderr; stdout is for the table."""
    print(text, file=sys.stderr, flush=True)


def fresh(name: str) -> Path:
    """A folder of that name below the results of commands, which is not there yet; that of logs is."""
    out = WORK / "out" / name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    (WORK / "logs").mkdir(parents=True, exist_ok=True)
    return out
