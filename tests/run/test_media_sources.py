"""Whole runs over pictures in archives, folders, hub repositories and Parquet columns, as commands make them."""

import hashlib
import io
import json
import os
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_world import tree_of
from typed import gristmill

from gristmill import recipes
from gristmill.cli.options import of_part
from gristmill.ledger.ledger import Ledger
from gristmill.run.inputs import media
from gristmill.run.inputs.local_media import put_by_hand
from gristmill.shards.webdataset import read_samples
from gristmill.testing import archived
from gristmill.testing.archives import (
    foldered,
    hostile_tar,
    hostile_zip,
    split,
    tar_gzipped,
    tarred,
    zipped,
)
from gristmill.testing.hub import FakeHub

ROWS, THERE = 24, 22


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 24, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


BODIES = [picture(n) for n in range(THERE)]


def members(front: str = "images/", start: int = 0, stop: int = THERE) -> dict[str, bytes]:
    return {f"{front}{n:05d}.png": BODIES[n] for n in range(start, stop)}


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"id": n, "image": f"toy/images/{n:05d}.png", "caption": f"picture {n}"} for n in range(ROWS)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def recipe(name: str) -> Path:
    return Path(archived.__path__[0]) / f"{name}.py"


def run(name: str, out: Path, rows: Path, *places: Path, workers: int = 0, code: int = 0, **more: str):
    given = [word for place in places for word in ("--source", f"pictures={place}")]
    return gristmill(
        "run",
        recipe(name),
        "--out",
        out,
        "--source",
        f"annotations={rows}",
        *given,
        "--workers",
        workers,
        code=code,
        **more,
    )


def dataset(out: Path) -> Path:
    (found,) = (path.parent for path in out.glob("*/dataset.json"))
    return found


def check(out: Path, kept: int = THERE) -> dict:
    """All pictures that are there are in the shards as they are, and every row has its fate; what the index found."""
    folder = dataset(out)
    bodies = [
        one.parts["png"] for shard in sorted((folder / "shards").glob("*.tar")) for one in read_samples(shard)
    ]
    assert bodies == BODIES[:kept]
    fates = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "fates").glob("samples*"))])
    last = dict(zip(fates["row"].to_pylist(), fates["reason"].to_pylist(), strict=True))
    assert Counter(last.values()) == Counter({None: kept, "no_file": ROWS - kept})
    manifest = json.loads((folder / "dataset.json").read_text())
    assert manifest["counts"]["packed"] == kept
    assert manifest["complete"]
    ledger = Ledger(folder)
    found = max(ledger.stage("index"), key=lambda record: record.number).found
    ledger.close()
    return found


KINDS = {
    "folder": lambda at: [foldered(at / "playground", members("data/toy/images/"))],
    "zip": lambda at: [
        zipped(at / "a.zip", members()),
        zipped(at / "b.zip", members(stop=3), zipfile.ZIP_STORED),
    ],
    "tar": lambda at: [tarred(at / f"{n}.tar", members(start=n * 11, stop=n * 11 + 11)) for n in (0, 1)],
    "tar_gz": lambda at: [tar_gzipped(at / "a.tar.gz", members("./images/"))],
    "split": lambda at: split(
        tar_gzipped(at / "a.tar.gz", members()), 9000, lambda n: f".{'abcdefgh'[n // 26]}{chr(97 + n % 26)}"
    )[1:2],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_over_each_kind_that_a_person_has(kind, rows, tmp_path):
    places = KINDS[kind](tmp_path)
    before = {path: path.stat().st_mtime_ns for place in places for path in [place, *place.rglob("*")]}
    run("tar_gz" if kind == "split" else kind, tmp_path / "out", rows, *places)
    found = check(tmp_path / "out")
    assert found["layout"] == ("tree" if kind == "folder" else "archive")
    assert found["members"] == THERE
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shared = tmp_path / "out/sources"
    assert [path.name for path in shared.iterdir()] == [".indexes"]  # read where it lies, never copied


def hub_files(kind: str, at: Path) -> dict[str, bytes]:
    if kind == "hub_files":
        return members()
    if kind == "parquet_column":
        files = {}
        for n, (start, stop) in enumerate([(0, 10), (10, THERE)]):
            table = pa.table(
                {"image": [{"bytes": BODIES[i], "path": f"{i}.png"} for i in range(start, stop)]}
            )
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, row_group_size=4)
            files[f"data/{n}.parquet"] = sink.getvalue().to_pybytes()
        return files
    tar, plain = tarred(at / "0.tar", members(stop=9)), zipped(at / "1.zip", members(start=9))
    return {"data/0.tar": tar.read_bytes(), "data/1.zip": plain.read_bytes(), "README.md": b"hello"}


@pytest.mark.parametrize("kind", ["hub_archives", "hub_files", "parquet_column"])
def test_a_run_over_each_kind_that_is_fetched_once_for_all_datasets(kind, rows, tmp_path):
    with FakeHub({"toy/pictures": hub_files(kind, tmp_path)}) as hub:
        run(kind, tmp_path / "out", rows, HF_ENDPOINT=hub.url)
        check(tmp_path / "out")
        fetched = [
            path
            for path in (tmp_path / "out/sources/pictures").rglob("*")
            if path.suffix in {".tar", ".zip", ".png", ".parquet"}
        ]
        asked = sum(map(len, hub.log.values())) if isinstance(hub.log, dict) else len(hub.log)
        other = tmp_path / "other.py"
        other.write_text(recipe(kind).read_text().replace("toy_", "other_"))
        words = ("run", other, "--out", tmp_path / "out", "--source", f"annotations={rows}", "--workers", 0)
        gristmill(*words, HF_ENDPOINT=hub.url)
        again = (len(hub.log) if not isinstance(hub.log, dict) else sum(map(len, hub.log.values()))) - asked
    shards = [tree_of(path.parent) for path in (tmp_path / "out").glob("*/dataset.json")]
    assert len(shards) == 2
    assert shards[0].keys() == shards[1].keys()
    assert 0 < again < 4  # its listing, and no file
    assert len(fetched) == {"hub_archives": 2, "hub_files": THERE, "parquet_column": 2}[kind]


@pytest.mark.slow
def test_workers_make_the_same_bytes(rows, tmp_path):
    places = KINDS["zip"](tmp_path)
    for workers in (0, 2):
        run("zip", tmp_path / f"out{workers}", rows, *places, workers=workers)
    assert tree_of(dataset(tmp_path / "out0")) == tree_of(dataset(tmp_path / "out2"))


def test_an_archive_that_came_later_is_read_by_a_retry(rows, tmp_path):
    first, second = (zipped(tmp_path / f"{n}.zip", members(start=n * 11, stop=n * 11 + 11)) for n in (0, 1))
    out = tmp_path / "out"
    run("zip", out, rows, first)
    check(out, kept=11)
    shards = tree_of(dataset(out))
    said = run("zip", out, rows, first, second, code=2).stderr
    assert "input.pictures/1.zip" in said
    assert f"gristmill retry {dataset(out)} --reason no_file" in said
    retry = ("retry", dataset(out), "--recipe", recipe("zip"), "--reason", "no_file", "--workers", 0)
    places = ("--source", f"pictures={first}{os.pathsep}{second}")
    said = gristmill(*retry, code=2).stderr
    assert f"--recipe {recipe('zip')} --reason no_file --workers 0 --source pictures=" in said
    gristmill(*retry, *places)
    found = check(out)
    assert [one["files"] for one in found["archives"]] == [["0.zip"], ["1.zip"]]
    assert tree_of(dataset(out)).items() >= shards.items()
    gristmill("verify", dataset(out))


def test_what_was_put_by_hand_is_found_and_added_to(rows, tmp_path):
    out = tmp_path / "out"
    said = run("folder", out, rows, code=3).stderr
    for words in (
        "Fill in the form",
        "https://example.org/toy/form",
        "research only",
        f"{out}/sources/pictures/",
    ):
        assert words in said
    assert not out.exists()
    foldered(out / "sources/pictures/images", members("", stop=11))
    run("folder", out, rows)
    check(out, kept=11)
    foldered(out / "sources/pictures/images", members("", start=11))
    retry = ("retry", dataset(out), "--recipe", recipe("folder"), "--reason", "no_file", "--workers", 0)
    gristmill(*retry, "--source", f"annotations={rows}")
    check(out)


def test_archives_of_several_datasets_in_one_folder_are_each_taken_by_its_own(tmp_path):
    """A dataset that was not fetched waits, or is fetched, whatever others have put or fetched there."""
    shots, pieces = (
        replace(recipes.find(name).source("videos"), folder="videos") for name in ("shot2story", "youcook2")
    )
    place = tmp_path / "videos"
    fetched = place / "0123456789abcdef"
    fetched.mkdir(parents=True)
    tar_gzipped(fetched / "release_134k_videos.tar.gz", {"./v/AbCdEfGhIjK.3.mp4": b"x"})
    assert put_by_hand(pieces, tmp_path) is None
    own = zipped(place / "cooking.zip", {"-bCdEfGhIjK_0.mp4": b"x", "val/v_AbCdEfGhIjK.webm": b"x"})
    assert put_by_hand(shots, tmp_path) is None
    assert put_by_hand(pieces, tmp_path) == str(own)
    more = tarred(place / "part.tar", {"_bCdE_GhIjK.12_0_19.mp4": b"x"})
    assert put_by_hand(shots, tmp_path) == str(more)


@pytest.mark.parametrize(
    ("name", "make", "refused"),
    [
        (
            "tar",
            hostile_tar,
            {"absolute_name": 1, "device": 2, "duplicate": THERE, "link": 2, "parent_name": 1},
        ),
        ("zip", hostile_zip, {"link": 1, "parent_name": 1, "wrong_size": 1}),
    ],
)
def test_a_hostile_archive_costs_its_own_members(name, make, refused, tmp_path, rows):
    odd = [
        {"id": 100 + n, "image": f"toy/images/{what}.png", "caption": what}
        for n, what in enumerate(
            ("bomb", "lying", "ratio", "link", "up", "device", "pipe", "../../../etc/passwd")
        )
    ]
    place = make(tmp_path / f"evil.{name}", members())
    run(name, tmp_path / "out", rows, place)
    found = check(tmp_path / "out")
    assert found["archives"][0]["refused"] == refused
    rows.write_text("".join(json.dumps(line) + "\n" for line in odd))
    run(name, tmp_path / "evil", rows, place, code=3)
    manifest = json.loads((dataset(tmp_path / "evil") / "dataset.json").read_text())
    assert sum(manifest["dropped"].values()) == len(odd)
    assert manifest["dropped"].keys() <= {"no_file", "too_large"}


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("page.zip", b"<!DOCTYPE html><title>Quota exceeded</title>", "a web page"),
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        ("a.zip", b"", "empty"),
        ("a.zip.crdownload", b"PK\3\4", "a download that has not ended"),
    ],
)
def test_what_is_no_archive_is_told_as_what_it_is(name, body, said, rows, tmp_path):
    place = tmp_path / "out/sources/pictures"
    place.mkdir(parents=True)
    (place / name).write_bytes(body)
    told = run("zip", tmp_path / "out", rows, code=1).stderr
    assert f"{place / name} is" in told
    assert said in told


def test_a_half_of_a_download_and_a_lost_part_are_told(rows, tmp_path):
    whole = tarred(tmp_path / "a.tar", members())
    os.truncate(whole, 20_000)
    assert "It may be a half of a download" in run("tar", tmp_path / "1", rows, whole, code=1).stderr
    whole = zipped(tmp_path / "a.zip", members())
    os.truncate(whole, 20_000)
    assert "is cut off" in run("zip", tmp_path / "2", rows, whole, code=1).stderr
    parts = split(tar_gzipped(tmp_path / "a.tar.gz", members()), 9000, lambda n: f".{n:02d}")
    parts[1].unlink()
    assert "not followed by the next part" in run("tar_gz", tmp_path / "3", rows, tmp_path, code=1).stderr


def test_stems_are_found_under_another_extension_where_the_source_says_so(rows, tmp_path):
    files = {
        name.replace(".png", ".PnG" if n % 2 else ".gif"): body
        for n, (name, body) in enumerate(members().items())
    }
    run("zip", tmp_path / "out", rows, zipped(tmp_path / "a.zip", files))
    check(tmp_path / "out")


def test_plan_lists_what_only_a_person_can_fetch(rows, tmp_path):
    words = ("plan", recipe("zip"), "--source", f"annotations={rows}", "--out", tmp_path / "out")
    said = gristmill(*words).stdout
    for told in (
        "WAITS FOR YOU; a form",
        "Fill in the form",
        "https://example.org/toy/form",
        "research only",
    ):
        assert told in said
    assert f"{tmp_path}/out/sources/pictures/" in said
    assert r"archive (images/([^/]+))" in said
    place = zipped(tmp_path / "a.zip", members())
    planned = json.loads(gristmill(*words, "--source", f"pictures={place}", "--json").stdout)
    (media,) = planned["media"]
    assert (media["to_do"], media["size_bytes"], media["fetch_bytes"]) == ("", place.stat().st_size, 0)
    assert planned["requests"] == 0
    offline = ("plan", recipe("hub_archives"), "--source", f"annotations={rows}", "--offline", "--json")
    assert json.loads(gristmill(*offline).stdout)["media"][0]["place"].startswith("toy/pictures@")


def test_clean_removes_from_sources_what_no_dataset_needs_any_more(rows, tmp_path):
    out = tmp_path / "out"
    by_hand = out / "sources/others/a.zip"
    by_hand.parent.mkdir(parents=True)
    zipped(by_hand, members())
    with FakeHub({"toy/pictures": hub_files("hub_archives", tmp_path)}) as hub:
        run("hub_archives", out, rows, HF_ENDPOINT=hub.url)
        other = tmp_path / "other.py"
        other.write_text(recipe("hub_archives").read_text().replace("toy_", "other_"))
        words = ("run", other, "--out", out, "--source", f"annotations={rows}", "--workers", 0)
        gristmill(*words, "--to", "rows", HF_ENDPOINT=hub.url)
        fetched = sorted((out / "sources/pictures").rglob("*.zip"))
        said = gristmill("clean", out).stdout
        assert "pictures is still needed by other-hub-archives" in said
        assert sorted((out / "sources/pictures").rglob("*.zip")) == fetched
        gristmill(*words, HF_ENDPOINT=hub.url)
        assert "would remove" in gristmill("clean", out, "--dry-run").stdout
        assert sorted((out / "sources/pictures").rglob("*.zip")) == fetched
        said = gristmill("clean", out / "other-hub-archives").stdout
        assert f"{out}/sources/others: what was put there by hand stays" in said
        assert [path for path in (out / "sources").rglob("*") if path.is_file()] == [by_hand]
        shards = tree_of(out / "toy-hub-archives")
        (out / "toy-hub-archives/shards/00001.tar").unlink()
        run("hub_archives", out, rows, HF_ENDPOINT=hub.url)  # fetched and indexed again
    assert tree_of(out / "toy-hub-archives") == shards


def test_what_was_cleaned_away_is_made_again(rows, tmp_path):
    out, place = tmp_path / "out", KINDS["tar"](tmp_path)
    run("tar", out, rows, *place)
    for path in (out / "sources/.indexes").iterdir():
        path.unlink()
    first, second = sorted((dataset(out) / ".gristmill/crawled").glob("*.spool"))[:2]
    shards = tree_of(dataset(out))
    first.unlink()
    (dataset(out) / "shards/00000.tar").unlink()
    run("tar", out, rows, *place)
    assert tree_of(dataset(out)) == shards
    assert second.exists()


def test_what_was_put_beside_stands_for_what_would_be_fetched(rows, tmp_path):
    place = tmp_path / "out/sources/pictures"
    place.mkdir(parents=True)
    zipped(place / "mine.zip", members())
    (place / "notes.txt").write_text("from a colleague")
    run("hub_archives", tmp_path / "out", rows)  # nobody is asked
    assert check(tmp_path / "out")["archives"][0]["files"] == ["mine.zip"]
    (place / "more.zip").symlink_to(place / "mine.zip")
    assert "more.zip is a link" in run("hub_archives", tmp_path / "out", rows, code=1).stderr


def test_files_below_a_folder_are_named_by_their_path(rows, tmp_path):
    text = recipe("folder").read_text().replace("import LAYOUTS, toy", "import LAYOUTS, sample, toy")
    text = text.replace("layouts=LAYOUTS,\n    ),", "layouts=LAYOUTS,\n    ),\n    parse,")
    parse = """from gristmill.spec.locator import File


def parse(row):
    return sample(row, File("pictures", row["image"].removeprefix("toy/")))


RECIPE = """
    place = tmp_path / "by_file.py"
    place.write_text(text.replace("RECIPE = ", parse, 1))
    given = ("--source", f"annotations={rows}", "--workers", 0, "--source")
    folder = foldered(tmp_path / "toy", members())
    gristmill("run", place, "--out", tmp_path / "out", *given, f"pictures={folder}")
    check(tmp_path / "out")
    archive = zipped(tmp_path / "a.zip", members())
    said = gristmill("run", place, "--out", tmp_path / "2", *given, f"pictures={archive}", code=1).stderr
    assert "is no folder" in said


def by_url(place: Path, url: str, body: bytes, sha256: str | None) -> Path:
    """A recipe whose pictures are one file at an address."""
    text = recipe("zip").read_text()
    one = f"downloads=(Download(url={url!r}, size_bytes={len(body)}, sha256={sha256!r}),),"
    text = text.replace('by_hand="Fill in the form and fetch it.",', one).replace("stems=True,", "")
    imported = "from gristmill.spec.media_source import Download\n"
    place.write_text(text.replace("from gristmill.spec.recipe", imported + "from gristmill.spec.recipe"))
    return place


@pytest.mark.parametrize("known", [True, False])
def test_a_download_is_gone_on_with_where_it_broke_off_and_checked(known, rows, tmp_path):
    body = zipped(tmp_path / "a.zip", members()).read_bytes()
    digest = hashlib.sha256(body).hexdigest() if known else None
    words = ("--source", f"annotations={rows}", "--workers", 0, "--out")
    with FakeHub({"toy/pictures": {"a.zip": body, "page.zip": b"<html>" * 9}}, redirect=False) as hub:
        base = f"{hub.url}/datasets/toy/pictures/resolve/{hub.revision}"
        hub.cut("a.zip", after_bytes=20_000)
        gristmill("run", by_url(tmp_path / "url.py", f"{base}/a.zip", body, digest), *words, tmp_path / "out")
        check(tmp_path / "out")
        page = by_url(tmp_path / "page.py", f"{base}/page.zip", body, digest)
        said = gristmill("run", page, *words, tmp_path / "page", code=1).stderr
        mirror = ("--source", f"pictures={base}/other.zip")
        assert (
            "pictures is a.zip"
            in gristmill("run", tmp_path / "url.py", *words, tmp_path / "2", *mirror, code=2).stderr
        )
    assert ("is not the file that is wanted" if known else "it is another file, or a page") in said
    assert [path.name for path in (tmp_path / "page/sources").rglob("*.zip")] == []


def test_members_under_two_layouts_end_the_run_with_what_was_found(rows, tmp_path):
    place = zipped(tmp_path / "a.zip", {**members(stop=9), **members("", start=9)})
    said = run("zip", tmp_path / "out", rows, place, code=1).stderr
    assert "archive: 9 (images/00000.png" in said
    assert "flat: 13 (00009.png" in said


class Killed(BaseException):
    """The process is gone: nothing catches it, and nothing is tidied up."""


def test_a_run_killed_while_it_indexes_goes_on(rows, tmp_path, monkeypatch):
    places = KINDS["tar"](tmp_path)
    run("tar", tmp_path / "whole", rows, *places)
    calls = []

    def dies(*given, **more):
        calls.append(given)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(media, "write_catalog", dies)
        with pytest.raises(Killed):
            run("tar", tmp_path / "out", rows, *places)
    assert calls
    assert not list((tmp_path / "out").glob("*/shards/*"))
    run("tar", tmp_path / "out", rows, *places)
    check(tmp_path / "out")
    assert tree_of(dataset(tmp_path / "out")) == tree_of(dataset(tmp_path / "whole"))


@pytest.fixture
def group(tmp_path):
    """Two recipes of a group over one media source, and one whose rows need none."""
    folder = tmp_path / "more_recipes"
    folder.mkdir()
    rows_alone = ", sources=(Source(key='annotations', by_hand='Have it made.', format='jsonl'),)"
    for name, own in {"toy_a": "", "toy_b": "", "toy_text": rows_alone}.items():
        text = recipe("zip").read_text().replace('"toy_zip"', f'"{name}"')
        made = text.replace("RECIPE = toy(", "from dataclasses import replace\n\nRECIPE = replace(toy(", 1)
        (folder / f"{name}.py").write_text(f"{made.rstrip()}, groups=('toys',){own})\n")
    recipes.__path__.append(str(folder))
    yield
    recipes.__path__.remove(str(folder))
    for name in ("toy_a", "toy_b", "toy_text"):
        sys.modules.pop(f"gristmill.recipes.{name}", None)


@pytest.mark.usefixtures("group")
def test_one_archive_is_given_for_all_recipes_of_a_group_that_name_it(rows, tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    rows.rename(folder / "rows.jsonl")
    out, place = tmp_path / "out", zipped(tmp_path / "a.zip", members())
    words = ("run", "toys", "--out", out, "--source", f"annotations={folder}", "--workers", 0, "--source")
    said = gristmill(*words, f"pictures={place}", code=None)
    assert "no media source 'pictures'" in said.stderr  # of the one that needs it and does not name it
    one, two = (tree_of(out / name) for name in ("toy-a", "toy-b"))
    assert one.keys() == two.keys() != set()
    assert len(list((out / "sources/.indexes").glob("*.parquet"))) == 2  # of the archive, and the catalog
    assert "There is no source 'picture'" in gristmill(*words, f"picture={place}", code=2).stderr
    said = gristmill(*words[:3], out, "--source", f"annotations={folder / 'rows.jsonl'}", code=2).stderr
    assert "that is one file" in said


def test_of_a_mixture_a_pattern_gives_a_source_to_those_parts_that_have_it(tmp_path):
    given = {"*.coco": "a", "x.odd": "b", "x-*.rows": "c"}
    assert of_part("x", given, {"coco"}) == {"coco": "a", "odd": "b"}
    assert of_part("x-1", given, {"rows"}) == {"rows": "c"}
    words = ("run", "vflan", "--out", tmp_path / "out", "--source", "m3it-*.anotations=/nowhere")
    assert "There is no source 'anotations'. Did you mean 'annotations'" in gristmill(*words, code=2).stderr
    assert not (tmp_path / "out").exists()


def test_what_the_hub_does_not_list_waits_for_a_person_where_the_source_says_how(rows, tmp_path):
    text = recipe("hub_archives").read_text().replace('"toy_hub_archives"', '"unlisted"')
    mine = tmp_path / "unlisted.py"
    mine.write_text(text.replace('hub="toy/pictures",', 'hub="toy/pictures", by_hand="Ask for a disk.",'))
    words = ["run", mine, "--out", tmp_path / "out", "--source", f"annotations={rows}", "--workers", 0]
    with FakeHub({"toy/pictures": {"README.md": b"Pictures come later."}}) as hub:
        told = gristmill(*words, code=3, HF_ENDPOINT=hub.url)
        assert "Ask for a disk." in told.stderr
        assert "--source pictures=PATH" in told.stderr
        pictures = foldered(tmp_path / "pictures", members())
        gristmill(*words, "--source", f"pictures={pictures}", HF_ENDPOINT=hub.url)


TWO_SOURCES = """
from dataclasses import replace
from gristmill.testing.archived import hub_archives, zip
by_hand = replace(zip.RECIPE.sources[1], key="others")
RECIPE = replace(hub_archives.RECIPE, name="two_sources", sources=(*hub_archives.RECIPE.sources, by_hand))
"""


def test_while_one_source_waits_for_a_person_the_others_are_made_ready(rows, tmp_path):
    mine, out = tmp_path / "two_sources.py", tmp_path / "out"
    mine.write_text(TWO_SOURCES)
    words = ["run", mine, "--out", out, "--source", f"annotations={rows}", "--workers", 0]
    body = zipped(tmp_path / "a.zip", members()).read_bytes()
    with FakeHub({"toy/pictures": {"data/a.zip": body}}) as hub:
        told = gristmill(*words, code=3, HF_ENDPOINT=hub.url).stderr
        assert "others (Toy pictures): Fill in the form and fetch it." in told
        assert "pictures is there, with 22 members." in told
        assert [path.name for path in out.iterdir()] == ["sources"]
        assert [path.read_bytes() for path in out.rglob("*.zip")] == [body]
        again = gristmill(*words, code=3, HF_ENDPOINT=hub.url).stderr
        assert "fetched meanwhile" in told
        assert "fetched meanwhile" not in again
        (out / "sources/others").mkdir()
        zipped(out / "sources/others/b.zip", {"images/z.png": BODIES[0]})
        gristmill(*words, HF_ENDPOINT=hub.url)
    check(out)


def test_clean_keeps_what_was_fetched_for_a_dataset_that_waits(rows, tmp_path):
    mine, out = tmp_path / "two_sources.py", tmp_path / "out"
    mine.write_text(TWO_SOURCES)
    words = ["run", mine, "--out", out, "--source", f"annotations={rows}", "--workers", 0]
    archive = zipped(tmp_path / "a.zip", members())
    run("zip", out, rows, archive)
    with FakeHub({"toy/pictures": {"data/b.tar": tarred(tmp_path / "b.tar", members()).read_bytes()}}) as hub:
        gristmill(*words, code=3, HF_ENDPOINT=hub.url)
        note = out / "sources/.waiting/two-sources"
        said = gristmill("clean", out).stdout
        assert "what was fetched for two-sources stays, which waits" in said
        assert f"remove {note}, and clean again" in said
        left = set((out / "sources").rglob("*"))
        assert len([path for path in left if path.name == "b.tar"]) == 1
        assert len([path for path in left if path.suffix == ".parquet"]) == 2  # its index and its catalog
        (out / "sources/others").mkdir()
        zipped(out / "sources/others/c.zip", {"images/z.png": BODIES[0]})
        before = len(hub.log)
        gristmill(*words, HF_ENDPOINT=hub.url)
        assert not any("b.tar" in str(one) for one in list(hub.log)[before:])
    assert note.exists()
    assert "stays, which waits" not in gristmill("clean", out).stdout
    assert {path.name for path in (out / "sources").rglob("*") if path.is_file()} == {"c.zip"}


def test_a_source_that_cannot_be_fetched_meanwhile_is_told_and_what_waits_too(rows, tmp_path):
    mine, out = tmp_path / "two_sources.py", tmp_path / "out"
    mine.write_text(TWO_SOURCES)
    broken = tmp_path / "a.zip"
    broken.write_bytes(zipped(tmp_path / "b.zip", members()).read_bytes()[:9000])
    words = ["--source", f"annotations={rows}", "--source", f"pictures={broken}", "--workers", 0]
    told = gristmill("run", mine, "--out", out, *words, code=3).stderr
    assert f"{broken} is cut off" in told
    assert "two-sources waits for what only a person can fetch" in told
