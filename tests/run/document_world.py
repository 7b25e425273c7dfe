"""MMC4's annotation files over the made-up web, and runs of the recipe over them, here or in processes to be killed.

As a script it is one such process: ``python document_world.py SETTINGS.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from small_world import Watcher

from gristmill import recipes
from gristmill.ledger.fates import read_fates
from gristmill.run.begin import Job
from gristmill.run.driver import Ended, run
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import GristmillError
from gristmill.testing.documents import mmc4_document

SETTINGS = {
    "crawl.allow_private_addresses": "true",
    "crawl.tries": "2",
    "crawl.total_s": "100",
    "crawl.connect_s": "60",
    "crawl.stall_s": "60",
    "pack.shard_samples": "7",
}


def document(urls: Sequence[str], page: int = 0) -> dict[str, Any]:
    """A document whose images are matched to its sentences from the last to the first."""
    sentences = [f"sentence {n} of page {page}" for n in range(max(1, len(urls)) + 1)]
    return mmc4_document(
        urls, sentences, [len(urls) - n for n in range(len(urls))], f"http://page.test/{page}"
    )


def write(folder: Path, files: Mapping[int, Sequence[Mapping[str, Any] | str]]) -> Path:
    """Annotation files by number; a document that is text is a line as it stands."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, documents in files.items():
        lines = [one if isinstance(one, str) else json.dumps(one) for one in documents]
        (folder / f"docs_no_face_shard_{number}_v3.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


def job(place: Path, folder: Path, *, settings: Mapping[str, str] | None = None, **more: Any) -> Job:
    given = {**SETTINGS, **(settings or {})}
    return Job(
        load=partial(recipes.load, "mmc4-core", None, given),
        reference="mmc4-core",
        folder=folder,
        replaced={"annotations": str(place)},
        **more,
    )


def run_here(place: Path, folder: Path, **more: Any) -> tuple[Ended, Watcher]:
    watcher = Watcher()
    return run(job(place, folder, **more), watcher), watcher


def retry(place: Path, folder: Path, *reasons: str, **more: Any) -> bool:
    """As ``gristmill retry`` does; False if nothing failed for these reasons."""
    opened = open_dataset(folder)
    added = add_round(opened, planner_of(opened, job(place, folder, **more).load()), reasons)
    return added and run_here(place, folder, **more)[0].complete


def samples(folder: Path) -> dict[str, dict[str, bytes]]:
    """All samples of all shards, by key."""
    found = {}
    for path in sorted((folder / "shards").glob("*.tar")):
        for sample in read_samples(path):
            assert sample.key not in found
            found[sample.key] = dict(sample.parts)
    return found


def fates(folder: Path) -> Iterator[dict[str, Any]]:
    for batch in read_fates(folder / "fates"):
        yield from pa.Table.from_batches([batch]).to_pylist()


def last_fates(folder: Path) -> dict[tuple[str, int, str], str | None]:
    """Reasons by file, row and medium; of several rounds the last holds."""
    ordered = sorted(fates(folder), key=lambda fate: fate.get("attempt") or 0)
    return {(f["file"], f["row"], f.get("medium") or ""): f["reason"] for f in ordered}


def main() -> int:
    given = json.loads(sys.argv[1])
    watcher = Watcher()
    try:
        run(job(Path(given.pop("place")), Path(given.pop("folder")), **given), watcher)
    except GristmillError as err:
        sys.stderr.write("\n".join([*watcher.said, f"{type(err).__name__}: {err}"]))
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
