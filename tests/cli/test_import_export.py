"""``import``, ``export`` and ``verify`` as typed, and what they say to those who give them rubbish."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from typed import by_entry_point, gristmill


def picture(n: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (20 + n, 20), (n, 9, 9)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture(scope="module")
def pickles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the vflan loader, as VILA's scripts make it."""
    folder = tmp_path_factory.mktemp("vflan") / "in"
    folder.mkdir()
    for part in range(2):
        items = [
            {"question": f"q{n}", "answer": "a", "image": [picture(n)]} for n in range(part * 5, part * 5 + 5)
        ]
        (folder / f"part-{part:05d}.pkl").write_bytes(pickle.dumps(items))
        (folder / f"part-{part:05d}.count").write_text("5")
    return folder


@pytest.fixture(scope="module")
def imported(pickles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imported") / "out"
    by_entry_point(
        "import", pickles, "--from", "vila", "--out", out, "--shard-samples", "4", "--workers", "1"
    )
    return out


def test_there_and_back(pickles: Path, imported: Path, tmp_path: Path) -> None:
    assert "items in the pickles" in gristmill("status", imported).stdout
    status = json.loads(gristmill("status", imported, "--json").stdout)
    assert status["counts"]["packed"] == 10
    gristmill("verify", imported)
    told = json.loads(gristmill("export", imported, "--to", "vila", "--out", tmp_path / "x", "--json").stdout)
    assert 'dataset_type="vflan"' in told.pop("start")
    assert told == {
        "dataset": str(imported),
        "format": "vila",
        "form": "vflan",
        "out": str(tmp_path / "x"),
        "shards": 3,
        "samples": 10,
        "left_out": 0,
        "reasons": {},
        "changed": {},
    }
    again = [
        item for path in sorted((tmp_path / "x").glob("*.pkl")) for item in pickle.loads(path.read_bytes())
    ]
    was = [item for path in sorted(pickles.glob("*.pkl")) for item in pickle.loads(path.read_bytes())]
    assert [{k: v for k, v in item.items() if k != "id"} for item in again] == was
    gristmill(
        "export", imported, "--to", "vila-unsharded", "--out", tmp_path / "y", "--name", "vqa_toy_train"
    )
    assert [path.name for path in (tmp_path / "y").iterdir()] == ["vqa_toy_train.pkl"]
    gristmill("export", imported, "--to", "webdataset-index", "--out", tmp_path / "z")
    # the same command again does nothing, and adds nothing
    gristmill(
        "import", pickles, "--from", "vila", "--out", imported, "--shard-samples", "4", "--workers", "1"
    )
    gristmill("verify", imported)


def test_one_pickle_for_each_dataset_of_a_folder(imported: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(imported, tmp_path / "data" / name)
    text = gristmill("export", tmp_path / "data", "--to", "vila", "--out", tmp_path / "x", code=2).stderr
    assert "holds 2 datasets; name one" in text
    done = gristmill("export", tmp_path / "data" / "one", "--to", "vila-unsharded", "--out", tmp_path / "x")
    assert "x/import.pkl: 3 shards, 10 samples" in done.stdout
    done = gristmill("export", tmp_path / "data", "--to", "vila-unsharded", "--out", tmp_path / "x", "--json")
    assert [told["samples"] for told in json.loads(done.stdout)] == [
        10,
        10,
    ]  # both of one name, both the same


def test_datasets_of_other_loaders_are_passed_over_by_name(imported: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0.pkl").write_bytes(pickle.dumps([{"text": "t", "image": picture(1)}]))
    data, out = tmp_path / "data", tmp_path / "x"
    gristmill("import", tmp_path / "in", "--from", "vila", "--out", data / "captions", "--workers", "0")
    shutil.copytree(imported, data / "questions")
    done = gristmill("export", data, "--to", "vila-unsharded", "--out", out)
    assert (
        f"{data / 'captions'} is for VILA's coyo loader: not written. For itself: gristmill export"
        in done.stderr
    )
    assert [path.name for path in out.iterdir()] == ["import.pkl"]
    told = gristmill("export", data / "captions", "--to", "vila-unsharded", "--out", out, code=2).stderr
    assert "is for VILA's coyo loader" in told


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The sentence, which names what it is about and has neither a class nor a module of ours in it."""
    text = done.stderr.strip()
    for word in ("Error:", "gristmill.", "Exception", "errno", "Errno"):
        assert word not in text.replace("Error: Missing", "").replace("Error: Invalid", ""), text
    return text


IMPORTS = {
    "nothing there": (lambda p: p / "absent", 2, "absent: there is no such file or folder"),
    "an empty folder": (lambda p: made(p / "empty"), 2, "no file there is like *.pkl, *.pickle"),
    "only other files": (
        lambda p: made(p / "others", ("a.json", b"{}"), ("b.tar", b"x")), 2, "(2 files looked at)"
    ),
    "text": (lambda p: made(p / "text", ("a.pkl", b"hello, world")), 1, "a.pkl: byte 0: refused"),
    "empty file": (lambda p: made(p / "zero", ("a.pkl", b"")), 1, "a.pkl: it is empty"),
    "zip": (lambda p: made(p / "zip", ("a.pkl", b"PK\x03\x04" + bytes(50))), 1, "zip archive, as torch.save"),
    "a dict": (
        lambda p: made(p / "dict", ("a.pkl", pickle.dumps({1: {"000.jpg": "x"}}))), 1, "it begins with a dict, not"
    ),
    "code": (lambda p: made(p / "code", ("a.pkl", pickle.dumps([os.system]))), 1, "it wants to run posix.system"),
    "cut off": (
        lambda p: made(p / "cut", ("a.pkl", pickle.dumps([{"question": "x" * 999}])[:500])), 1, "--keep-damaged"
    ),
    "other items": (lambda p: made(p / "odd", ("a.pkl", pickle.dumps([{"x": 1}] * 3))), 3, "none of 3 rows"),
}  # fmt: skip


def made(folder: Path, *files: tuple[str, bytes]) -> Path:
    folder.mkdir()
    for name, body in files:
        (folder / name).write_bytes(body)
    return folder


@pytest.mark.parametrize("case", list(IMPORTS))
def test_importing_rubbish(case: str, tmp_path: Path) -> None:
    make, code, words = IMPORTS[case]
    place = make(tmp_path)
    done = gristmill(
        "import", place, "--from", "vila", "--out", tmp_path / "out", "--workers", "0", code=code
    )
    assert words in said(done)
    assert (tmp_path / "out").exists() == (code != 2)  # what is refused leaves nothing


def test_import_told_wrongly(pickles: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for words, text in (
        (("import", pickles, "--out", tmp_path / "o"), "--from"),
        (("import", pickles, "--from", "coco", "--out", tmp_path / "o"), "'vila'"),
        (("import", pickles, "--from", "vila"), "--out"),
        (
            ("import", pickles, "--from", "vila", "--out", tmp_path / "file"),
            "is a file. Name a folder with --out",
        ),
        (("import", pickles, "--from", "vila", "--out", pickles / "o"), "Name another --out"),
        (("import", pickles, "--from", "vila", "--out", tmp_path / "o", "--images", "no"), "no such folder"),
        (
            ("import", pickles, "--from", "vila", "--out", tmp_path / "o", "--set", "pickles.forms=x"),
            "'form'?",
        ),
        (("run", "import", "--out", tmp_path / "o"), "gristmill import PICKLES --from vila --out DIR"),
    ):
        assert text in said(gristmill(*words, code=2))
    assert not (tmp_path / "o").exists()


def test_import_into_what_was_begun_otherwise(pickles: Path, imported: Path) -> None:
    text = said(gristmill("import", pickles, "--from", "vila", "--out", imported, "--form", "vflan", code=2))
    assert "pickles.form" in text
    assert "choose another folder with --out" in text


EXPORTS = (
    (("vila",), "name the folder to write into with --out"),
    (("vila", "--name", "x", "--out", "o"), "--name is for --to vila-unsharded"),
    (("vila", "--out", "full"), "holds 'notes.txt': VILA's loader counts what lies in the folder"),
    (("vila", "--out", "notes.txt"), "notes.txt is a file. Name a folder with --out"),
    (("vila-unsharded", "--out", "full"), "holds 'notes.txt'"),
    (("interleaved-parquet", "--out", "o"), "who speaks would be lost (--to vila keeps it)"),
    (("interleaved-parquet", "--out", "full"), "holds 'notes.txt'"),
    (("vila-unsharded", "--out", "o", "--name", "../x"), "--name"),
    (("vila-unsharded", "--out", "o", "--name", ""), "--name"),
)


@pytest.mark.parametrize(("words", "text"), EXPORTS)
def test_exporting_wrongly(words: tuple[str, ...], text: str, imported: Path, tmp_path: Path) -> None:
    made(tmp_path / "full", ("notes.txt", b"x"))
    (tmp_path / "notes.txt").write_text("x")
    assert text in said(gristmill("export", imported, "--to", *words, cwd=tmp_path, code=2))


@pytest.mark.parametrize("command", [("export", "--to", "vila", "--out", "x"), ("verify",), ("status",)])
def test_folders_that_hold_no_dataset(command: tuple[str, ...], tmp_path: Path) -> None:
    name, *options = command
    made(tmp_path / "empty")
    made(tmp_path / "rubbish", ("a.tar", b"x"), ("dataset.json", b"{}"))
    for config, body in (("begun", b'{"half'), ("list", b"[]"), ("other", b'{"x": 1}')):
        made(made(tmp_path / config) / ".gristmill", ("run.json", body))
    for folder, words, code in (
        ("absent", "does not exist", 2),
        ("empty", "empty holds no dataset", 2),
        ("rubbish", "rubbish holds no dataset", 2),
        ("rubbish/a.tar", "is a file", 2),
        ("begun", "run.json is damaged", 1),
        ("list", "run.json is not what a run writes", 1),
        ("other", "run.json is not what a run writes", 1),
    ):
        assert words in said(gristmill(name, tmp_path / folder, *options, cwd=tmp_path, code=code))


def test_exporting_damaged_shards(imported: Path, tmp_path: Path) -> None:
    for number, (harm, words) in enumerate(
        (
            (lambda path: path.unlink(), "00001.tar"),
            (lambda path: path.write_bytes(path.read_bytes()[:700]), "00001.tar is not what was written"),
            (
                lambda path: shutil.copy(path.with_name("00000.tar"), path),
                "00001.tar is not what was written",
            ),
        )
    ):
        copy = shutil.copytree(imported, tmp_path / f"copy{number}")
        harm(copy / "shards" / "00001.tar")
        done = gristmill("export", copy, "--to", "vila", "--out", tmp_path / f"x{number}", code=1)
        text = said(done)
        assert words in text
        assert "gristmill verify" in text
        assert sorted(p.name for p in (tmp_path / f"x{number}").iterdir()) == [
            "part-00000.count",
            "part-00000.pkl",
        ]
        assert "DAMAGED" in gristmill("verify", copy, code=1).stdout


def test_shards_without_records(imported: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(imported, tmp_path / "copy")
    shutil.rmtree(copy / ".gristmill" / "records")
    done = gristmill("verify", copy, code=1)
    assert "holds no record of these shards" in done.stdout


def test_a_dataset_that_is_not_finished(pickles: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, body in (
        ("a.pkl", (pickles / "part-00000.pkl").read_bytes()),
        ("b.pkl", b"\x80\x04]cos\nsystem\n."),
    ):
        (tmp_path / "in" / name).write_bytes(body)
    words = ("--shard-samples", "2", "--workers", "0")
    gristmill("import", tmp_path / "in", "--from", "vila", "--out", tmp_path / "out", *words, code=1)
    done = gristmill("export", tmp_path / "out", "--to", "vila", "--out", tmp_path / "x")
    assert "out is not finished: it has 2 shards so far" in done.stderr
    assert "2 shards, 4 samples as vila" in done.stdout
    done = gristmill("export", tmp_path / "out", "--to", "vila-unsharded", "--out", tmp_path / "y", code=3)
    assert "One pickle for all of it can be written when it is" in said(done)


def test_a_dataset_without_shards_yet(pickles: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pkl").write_bytes(b"\x80\x04]cos\nsystem\n.")
    gristmill(
        "import", tmp_path / "in", "--from", "vila", "--out", tmp_path / "out", "--workers", "0", code=1
    )
    done = gristmill("export", tmp_path / "out", "--to", "vila", "--out", tmp_path / "x", code=3)
    assert "no finished shard yet; see `gristmill status" in said(done)
    assert not (tmp_path / "x").exists()
    gristmill("verify", tmp_path / "out")
    gristmill("status", tmp_path / "out")


def test_a_pickle_of_nothing_is_said_to_be_one(tmp_path: Path) -> None:
    pickles = made(tmp_path / "none", ("a.pkl", pickle.dumps([])))
    done = gristmill("import", pickles, "--from", "vila", "--out", tmp_path / "out", "--workers", "1", code=3)
    assert "there is no row at all in" in done.stderr
    assert "a.pkl" in done.stderr


def test_an_export_in_which_nothing_is_left_is_less_than_expected(imported: Path, tmp_path: Path) -> None:
    words = ("--to", "interleaved-parquet", "--leave-out", "--out", tmp_path / "o")
    text = said(gristmill("export", imported, *words, code=3))
    assert f"No sample of {imported} fits interleaved-parquet: all were left out" in text


def test_a_folder_of_datasets_does_not_become_one(pickles: Path, imported: Path) -> None:
    out = imported.parent
    text = said(gristmill("import", pickles, "--from", "vila", "--out", out, "--workers", "1", code=2))
    assert f"{out} holds datasets (out), which would be hidden behind import" in text
    assert f"--out {out / 'NAME'}" in text
    assert str(imported) in gristmill("verify", out).stdout  # as before


def test_what_was_spread_is_not_among_what_was_left_out(tmp_path: Path) -> None:
    many = {"question": "q", "answer": "a", "image": [picture(n) for n in range(9)]}
    token = {"question": "q", "answer": "an <image>", "image": [picture(1)]}
    pickles = made(tmp_path / "in", ("a.pkl", pickle.dumps([many, token])))
    keep = ("--set", "hygiene.media_tokens=keep")
    gristmill("import", pickles, "--from", "vila", "--out", tmp_path / "d", *keep)
    words = ("--to", "vila", "--leave-out", "--spread-images", "--out", tmp_path / "o")
    told = gristmill("export", tmp_path / "d", *words).stdout.splitlines()
    assert told[: told.index("Start training:")] == [
        f"{tmp_path / 'o'}: 1 shard, 1 sample as vila, for VILA's vflan loader",
        "  with 8 of their pictures, spread evenly: 1 sample",
        "  left out, because they do not fit: 1 sample",
        "    token_in_answer: 1",
    ]


def test_a_refused_export_leaves_nothing(imported: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for out in (tmp_path / "new" / "deep", there):
        gristmill("export", imported, "--to", "vila-unsharded", "--name", "a b", "--out", out, code=2)
        gristmill("export", imported, "--to", "interleaved-parquet", "--out", out, code=2)
    assert list(tmp_path.iterdir()) == [there]
    assert not list(there.iterdir())


def test_pictures_whose_paths_lead_nowhere_cost_their_items(tmp_path: Path) -> None:
    images = made(tmp_path / "images", ("good.jpg", base64.b64decode(picture(0))))
    (images / "loop.jpg").symlink_to("loop.jpg")
    (images / "out.jpg").symlink_to("/etc/hostname")
    os.mkfifo(images / "fifo.jpg")
    paths = (
        "good.jpg",
        "loop.jpg",
        "out.jpg",
        "fifo.jpg",
        "\ud800.jpg",
        f"{'x' * 5000}.jpg",
        "a\0.jpg",
        "../a.jpg",
    )
    items = [{"image:": path, "question": "What?", "answer:": "That."} for path in paths]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(items))
    words = ("import", tmp_path / "a.pkl", "--from", "vila", "--out", tmp_path / "out", "--images", images)
    gristmill(*words, "--workers", "0", code=0)
    found = json.loads(gristmill("status", tmp_path / "out", "--json").stdout)
    assert found["counts"]["packed"] == 1
    assert sum(found["dropped"].values()) == len(paths) - 1
