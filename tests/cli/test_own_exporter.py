"""A trainer's format from outside: one file, and nothing edited."""

import json
from pathlib import Path

import pytest
from made_pickles import captions, take, write
from typed import gristmill

from gristmill import exports

OWN = '''
"""Captions as lines of text."""
from dataclasses import dataclass

from gristmill.exports import Exported, Exporter, check_folder, option, shard_samples
from gristmill.storage.files import write_whole


@dataclass(frozen=True, kw_only=True)
class Lines(Exporter):
    """A line a caption."""

    writes, reads, loses = "captions.txt", "captions", "pictures"

    end: str | None = option("", "What each line ends in.")
    most: int = option(100, "Lines at most.")
    upper: bool = option(False, "In capitals.")

    def export(self, dataset, out):
        check_folder(out, ["captions.txt"], "one text is expected")
        done, lines = Exported(), []
        for shard in dataset.shards:
            texts = [one.parts["txt"].decode() for one in shard_samples(dataset.folder, shard)]
            lines += [(text.upper() if self.upper else text) + (self.end or "") for text in texts]
            done.shards, done.samples = done.shards + 1, min(len(lines), self.most)
            yield done
        write_whole(out / "captions.txt", "\\n".join(lines[: self.most]).encode())


EXPORTER = Lines()
'''


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    take(write(folder / "in", list(captions(0, 5))), folder / "out")
    return folder / "out"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "lines.py"
    path.write_text(OWN)
    return path


def test_its_options_are_typed_and_shown(own: Path) -> None:
    shown = gristmill("export", "--to", own, "--help").stdout
    assert "A line a caption. Writes captions.txt; reads captions; loses pictures." in " ".join(shown.split())
    assert "--upper" in shown
    assert "--most INTEGER" in shown
    assert "--spread-images" not in shown


def test_it_writes_and_tells_like_any_other(own: Path, imported: Path, tmp_path: Path) -> None:
    words = ("--upper", "--most", "3", "--end", ".", "--out", tmp_path / "o")
    done = gristmill("export", imported, "--to", own, *words, "--json")
    assert json.loads(done.stdout)["samples"] == 3
    lines = (tmp_path / "o" / "captions.txt").read_text().splitlines()
    assert len(lines) == 3
    assert all(line.endswith(".") and line == line.upper() for line in lines)
    said = gristmill(
        "export", imported, "--to", own, "--spread-images", "--out", tmp_path / "p", code=2
    ).stderr
    assert "--spread-images is for --to vila or vila-unsharded" in said
    said = gristmill("export", imported, "--to", own, "--most", "few", "--out", tmp_path / "p", code=2).stderr
    assert "'few' is not a valid integer" in said


def test_a_file_without_an_exporter_is_told(imported: Path, tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("x = 1")
    said = gristmill("export", imported, "--to", tmp_path / "none.py", "--out", tmp_path / "o", code=2).stderr
    assert "none.py has no EXPORTER: an exporter file ends in EXPORTER = Exporter(...)" in said


def test_a_file_in_the_folder_is_found_by_its_name(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "__path__", [*exports.__path__, str(own.parent)])
    assert "lines" in exports.names()
    assert exports.find("lines").writes == "captions.txt"


def test_help_of_one_format_is_of_that_format_alone() -> None:
    shown = gristmill("export", "--to", "interleaved-parquet", "--help").stdout
    assert "--leave-out" in shown
    assert "--name" not in shown
    assert "vila-unsharded:" not in shown
