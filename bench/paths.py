"""Where the benchmarks keep their files, and how they say what they are doing."""

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
