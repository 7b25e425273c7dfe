"""Killed between the commit of the last record and the last of the metadata files, at each file written there.

Whichever command comes next brings them to what the records say, and counts by the records before that.
"""

import json
import pickle
import shutil
from functools import partial
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from typed import gristmill

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.inputs.mixture_parts import read_part
from gristmill.storage.files import write_whole
from gristmill.testing.web import FakeWeb

METADATA_FILES = ("dataset.json", "README.md", "croissant.json", "report.html")
QUICK = ("--workers", "0")
MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="mine", version="2026.11.1", title="Mine", description="Two lists.", homepage="https://example.org",
    license="other", parts=(Part(name="gsm8k-screl"),), shuffle=Shuffle(seed=1, shards=2),
)
"""


class Killed(BaseException):
    """The process is gone: nothing catches it, and nothing is tidied up."""


class Kill:
    """kill -9 right before the ``at``-th file since the last of ``commits`` records gets its name."""

    def __init__(self, monkeypatch, commits: int, at: int) -> None:
        self.commits = self.files = 0
        self.dead = False
        commit, replace, unlink = Ledger.commit, Path.replace, Path.unlink

        def counted(ledger, record):
            commit(ledger, record)
            self.commits, self.files = self.commits + 1, 0

        def named(path, target):
            self.dead |= self.commits == commits and self.files == at
            if self.dead:
                raise Killed
            self.files += 1
            return replace(path, target)

        def removed(path, missing_ok=False):
            if self.dead:
                raise Killed
            unlink(path, missing_ok)

        monkeypatch.setattr(Ledger, "commit", counted)
        monkeypatch.setattr(Path, "replace", named)
        monkeypatch.setattr(Path, "unlink", removed)


@pytest.mark.parametrize(
    "name", ["retry", "mix", *(pytest.param(one, marks=pytest.mark.slow) for one in ("run", "import"))]
)
def test_the_next_command_brings_the_metadata_files_to_the_records(tmp_path, monkeypatch, name):
    """An exhaustive walk: a command is killed at each file, each time with another command after."""
    here, before = tmp_path / name, tmp_path / "before"
    with FakeWeb() as web:
        begun = {"retry": partial(crawled, web=web), "run": recipe, "import": pickles, "mix": mixture}
        words, folder = begun[name](here)
        shutil.copytree(here, before)
        with monkeypatch.context() as patched:
            whole = Kill(patched, -1, -1)
            gristmill(*words)
        # with what they were made of, sealed before and after
        assert (whole.commits > 0, whole.files) == (True, len(METADATA_FILES) + 3)
        samples = read_part(folder)["counts"]["packed"]
        for at in range(whole.files):
            shutil.rmtree(here)
            shutil.copytree(before, here)
            with monkeypatch.context() as patched:
                Kill(patched, whole.commits, at)
                with pytest.raises(Killed):
                    gristmill(*words)
            status, verify = ("status", folder), ("verify", folder)
            then = (words, status, verify, ("clean", folder), index(folder), status, verify)[at]
            done = gristmill(*then, code=0)
            again = "behind the records" in done.stderr
            assert again == (then is not words or name == "retry"), f"{at}: {done.stderr}"
            if name == "mix":  # of a file of one's own, which only the command that names it runs
                gristmill(*words)
            check(folder, samples)


def index(folder: Path):
    return ("export", folder, "--to", "webdataset-index", "--out", folder.parent / "index")


def check(folder: Path, samples: int) -> None:
    said = json.loads((folder / "dataset.json").read_bytes())
    assert said["complete"]
    assert said["counts"]["packed"] == samples
    assert [shard["path"] for shard in said["shards"]] == [
        f"shards/{path.name}" for path in sorted((folder / "shards").glob("*.tar"))
    ]
    assert said["rounds"] == [list(one) for one in RunConfig.read(folder).rounds]
    for paper in METADATA_FILES:
        assert (folder / paper).stat().st_size
    assert not [path for path in folder.rglob(".*") if ".tmp-" in path.name]
    for quiet in (("status", folder), ("verify", folder)):
        assert "behind" not in gristmill(*quiet).stderr


def test_a_mixture_takes_what_the_records_of_a_part_say(tmp_path, monkeypatch):
    """Also where the part's metadata files cannot be brought up to date: nobody can write there."""
    _, part = recipe(tmp_path)
    gristmill(*recipe(tmp_path)[0])
    found = json.loads((part / "dataset.json").read_bytes())
    found["shards"] = found["shards"][:1]
    (part / "dataset.json").write_text(json.dumps(found))
    (tmp_path / "mine.py").write_text(MIXTURE)
    with monkeypatch.context() as patched:

        def refused(path, body):
            if path.is_relative_to(part):
                raise PermissionError(13, "Permission denied", str(part))
            write_whole(path, body)

        patched.setattr("gristmill.storage.local.write_whole", refused)
        patched.setattr("gristmill.cli.finish.write_metadata_files", lambda folder, recipe: Ledger(folder))
        done = gristmill("mix", tmp_path / "mine.py", "--out", tmp_path / "data", *QUICK)
    assert "cannot be written here" in done.stderr
    assert sum(record.kept for record in Ledger(tmp_path / "data" / "mine").stage("scatter")) == 7


def test_a_run_under_way_is_left_to_write_its_own(tmp_path, monkeypatch):
    words, folder = recipe(tmp_path)
    gristmill(*words)
    (folder / "README.md").unlink()
    (folder / ".gristmill" / "described").unlink()
    monkeypatch.setattr("gristmill.storage.leases.Leases.take", lambda self, name, *, shared=False: False)
    assert "behind" not in gristmill("status", folder).stderr
    assert not (folder / "README.md").exists()


def crawled(base: Path, web: FakeWeb):
    """A list of which some come at the second time of asking."""
    base.mkdir()
    paths = [f"/fault/5xx-heals/{base.name}{n}" if n % 2 else f"/photo/{n}.jpg?w=64" for n in range(4)]
    (base / "urls.txt").write_text("\n".join(web.url(path, n) for n, path in enumerate(paths)))
    allowed = ("--allow-private-addresses", *QUICK)
    out = base / "out"
    gristmill("crawl", base / "urls.txt", "--out", out, *allowed, "--set", "crawl.tries=1")
    for path in paths[1::2]:  # these fail twice, and then come however often they are asked for
        with pytest.raises(HTTPError):
            urlopen(web.url(path))
    return ("retry", out, *allowed), out


def recipe(base: Path):
    base.mkdir(exist_ok=True)
    rows = [json.dumps({"query": f"{n} + {n}?", "response": f"{2 * n}"}) + "\n" for n in range(7)]
    (base / "rows.jsonl").write_text("".join(rows))
    given = ("--source", f"annotations={base / 'rows.jsonl'}", "--set", "pack.shard_samples=3", *QUICK)
    return ("run", "gsm8k-screl", "--out", base / "data", *given), base / "data" / "gsm8k-screl"


def pickles(base: Path):
    (base / "in").mkdir(parents=True)
    items = [{"question": f"{n}?", "answer:": "b", "id": n} for n in range(3)]
    (base / "in" / "part-00000.pkl").write_bytes(pickle.dumps(items))
    return ("import", base / "in", "--from", "vila", "--out", base / "out", *QUICK), base / "out"


def mixture(base: Path):
    gristmill(*recipe(base)[0])
    (base / "mine.py").write_text(MIXTURE)
    return ("mix", base / "mine.py", "--out", base / "data", *QUICK), base / "data" / "mine"
