"""A dataset's folder may come from a stranger: nothing in it is run, and it permits nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from typed import gristmill

from gristmill.ledger.run_config import RUN_CONFIG, RunConfig
from gristmill.testing.web import FakeWeb

GIVEN = (
    "--allow-private-addresses",
    "--workers",
    "0",
    "--set",
    "crawl.tries=1",
    "--set",
    "pack.shard_samples=2",
)


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as web:
        yield web


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, web: FakeWeb) -> Path:
    """A small finished dataset, of which one row may come back."""
    place = tmp_path_factory.mktemp("made")
    web.put("/late.jpg", b"", status=503)
    paths = [*(f"/photo/{n}.jpg?w=64" for n in range(3)), "/late.jpg"]
    (place / "urls.txt").write_text("\n".join(map(web.url, paths)))
    gristmill("crawl", place / "urls.txt", "--out", place / "out", *GIVEN)
    return place / "out"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copy(finished.parent / "urls.txt", tmp_path)
    return Path(shutil.copytree(finished, tmp_path / "out"))


def config(folder: Path, **changes: object) -> None:
    """Change what a folder says that it was begun with."""
    said = orjson.loads((folder / RUN_CONFIG).read_bytes())
    (folder / RUN_CONFIG).write_bytes(orjson.dumps({**said, **changes}))


@pytest.fixture
def evil(folder: Path) -> Path:
    """A file in the folder that leaves a mark when it is run; the folder names it as its recipe."""
    path = folder / "recipe.py"
    path.write_text(f"open({str(folder / 'ran')!r}, 'w')\nMIXTURE = RECIPE = None\n")
    config(folder, recipe=str(path))
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("status", "{}"),
        ("status", "{}", "--json"),
        ("clean", "{}"),
        ("clean", "{}", "--dry-run"),
        ("verify", "{}"),
        ("export", "{}", "--to", "vila", "--out", "{}/../vila"),
        ("export", "{}", "--to", "webdataset-index", "--out", "{}/../index"),
    ],
)
def test_what_reads_a_folder_needs_no_recipe_and_runs_none(words, folder, evil):
    gristmill(*(word.format(folder) for word in words))
    assert not (folder / "ran").exists()


def test_a_retry_runs_no_recipe_that_the_folder_names(folder, evil):
    told = gristmill("retry", folder, code=2).stderr
    assert "nothing that a folder names is run" in told
    assert f"gristmill retry {folder} --recipe PATH" in told
    assert not (folder / "ran").exists()


def test_a_recipe_of_ones_own_is_named_anew_and_compared(tmp_path, web):
    source = """
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.locator import Url
from gristmill.spec.sample import MediaRef, Sample, Show, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

def parse(row):
    turn = Turn(role="caption", parts=(Show(media="image"),))
    return Sample(key="", media={"image": MediaRef(at=Url(row["url"]))}, turns=(turn,))

RECIPE = Recipe(
    name="own", version="2026.1.1", title="T", description="D", homepage="https://example.org", license="CC0-1.0",
    sources=(Source(key="annotations", by_hand="fetch it", patterns=("*.txt",), format="txt"),),
    parse=parse, writes=frozenset({"media.url"}), steps=(TakeRows(), Crawl(size_px=64), Pack()),
)
"""
    own, other, out = tmp_path / "own.py", tmp_path / "other.py", tmp_path / "data"
    own.write_text(source)
    other.write_text(source.replace("size_px=64", "size_px=32"))
    web.put("/own.jpg", b"", status=503)
    (tmp_path / "urls.txt").write_text("\n".join(map(web.url, ("/photo/1.jpg?w=64", "/own.jpg"))))
    given = ("--allow-private-addresses", "--workers", "0")
    source_of = ("--source", f"annotations={tmp_path / 'urls.txt'}")
    gristmill("run", own, "--out", out, *source_of, *given, "--set", "crawl.tries=1")
    web.put("/own.jpg", web.pictures.get(1, "jpg", 64).data, content_type="image/jpeg")
    gristmill("retry", out, *given, code=2)
    assert "crawl.size_px" in gristmill("retry", out, *given, "--recipe", other, code=2).stderr
    gristmill("retry", out, *given, "--recipe", own)
    assert json.loads(gristmill("status", out, "--json").stdout)["counts"]["packed"] == 2


@pytest.mark.parametrize("stored", ["runtime", "settings"])
def test_what_was_permitted_is_not_stored_and_not_taken_from_a_folder(stored, folder, finished, web):
    kept = json.loads((finished / RUN_CONFIG).read_bytes())
    assert "allow_private" not in json.dumps([kept["settings"], kept["runtime"]])
    config(folder, permitted=[], **{stored: {**kept[stored], "crawl.allow_private_addresses": "true"}})
    web.forget()
    gristmill("retry", folder, "--workers", "0")
    assert not web.hits


def test_a_retry_says_which_permission_it_lacks(folder, web):
    web.forget()
    told = gristmill("retry", folder, "--workers", "0", code=2).stderr
    assert f"gristmill retry {folder} --workers 0 --allow-private-addresses\n" in told
    gristmill("retry", folder, "--workers", "0", "--without-permissions")
    assert not web.hits


def test_the_advice_at_a_runs_end_names_what_the_run_was_allowed(tmp_path, web):
    web.put("/busy.jpg", b"", status=503)
    (tmp_path / "urls.txt").write_text("\n".join(map(web.url, ("/photo/1.jpg?w=64", "/busy.jpg"))))
    out = tmp_path / "out"
    words = ("--out", out, *GIVEN, "--no-verify-tls", "--min-kept", "0.9")
    done = gristmill("crawl", tmp_path / "urls.txt", *words, code=3)
    advice = f"gristmill retry {out} --reason http_5xx --allow-private-addresses --no-verify-tls\n"
    assert advice in done.stdout
    assert advice in done.stderr
    assert f"gristmill retry {out} --reason http_5xx\n" in gristmill("status", out, code=0).stdout


def test_more_haste_than_usual_is_not_taken_from_a_folder(tmp_path, web):
    (tmp_path / "urls.txt").write_text(web.url("/photo/1.jpg?w=64"))
    words = ("--per-host", "50", "--in-flight", "2", "--contact", "me@example.org")
    gristmill("crawl", tmp_path / "urls.txt", "--out", tmp_path / "out", *GIVEN, *words)
    runtime = RunConfig.read(tmp_path / "out").runtime
    assert runtime == {"crawl.in_flight": "2", "crawl.contact": "me@example.org"}


def test_a_retry_reads_nothing_beyond_the_folder_because_it_says_so(folder, tmp_path):
    """Rows are to be chosen again, from a file that the folder names and nobody else."""
    secret = tmp_path / "secret.txt"
    secret.write_text("https://example.org/secret\n")
    said = json.loads((folder / RUN_CONFIG).read_bytes())
    config(folder, inputs=[{**said["inputs"][0], "path": str(secret)}], sources={"list": str(secret)})
    for journal in (folder / ".gristmill" / "records").iterdir():
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(line for line in lines if b'"stage":"rows"' not in line))
    told = gristmill("retry", folder, "--workers", "0", "--without-permissions", code=2).stderr
    assert "nothing beyond a folder is read because the folder says so" in told
    assert "secret" not in (folder / "report.html").read_text()


COMMANDS = (
    ("status", "{}"),
    ("verify", "{}"),
    ("verify", "{}", "--repair"),
    ("export", "{}", "--to", "vila", "--out", "{}/../vila"),
    ("clean", "{}"),
    ("retry", "{}", "--workers", "0", "--without-permissions"),
)


def journal(folder: Path) -> Path:
    (path,) = (folder / ".gristmill" / "records").iterdir()
    return path


def changed(folder: Path, old: str, new: str) -> None:
    """Change a text in the records."""
    body = journal(folder).read_text()
    assert old in body
    journal(folder).write_text(body.replace(old, new))


@pytest.mark.parametrize(
    "target", ["../victim.txt", "/tmp/victim.txt", "shards/00000.tar", ".gristmill/run.json"]
)
def test_clean_removes_nothing_but_what_a_run_put_there(target, folder, tmp_path):
    (tmp_path / "victim.txt").write_text("mine")
    (spool,) = (folder / ".gristmill" / "crawled").glob("*.spool")
    changed(folder, f".gristmill/crawled/{spool.name}", target)
    before = tree(tmp_path)
    assert "which no run writes" in gristmill("clean", folder, code=1).stderr
    assert tree(tmp_path) == before


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    "place", [".gristmill", ".gristmill/records", ".gristmill/crawled", "shards", "fates"]
)
def test_linked_folders_lead_nowhere(place, words, folder, tmp_path):
    (folder / place).rename(tmp_path / "elsewhere")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere")
    told = gristmill(*(word.format(folder) for word in words), code=1)
    assert f"{place} is a link" in told.stderr + told.stdout.replace(": is", " is")
    assert tree(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("words", [*COMMANDS, ("crawl", "{}/../urls.txt", "--out", "{}")])
@pytest.mark.parametrize("place", [".gristmill/run.json", ".gristmill/records/x.jsonl", ".gristmill/leases"])
def test_fifos_and_endless_files_are_not_waited_for(place, words, folder):
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (folder / place).unlink(missing_ok=True)
        make(folder / place)
        told = gristmill(*(word.format(folder) for word in words), code=1)
        assert "a regular file" in told.stderr or "regular files alone" in told.stderr


def test_an_endless_manifest_of_a_part_is_not_read(finished, tmp_path):
    part = tmp_path / "data" / "coyo"
    part.mkdir(parents=True)
    mixture = tmp_path / "own.py"
    mixture.write_text(
        "from gristmill.spec.mixture import Mixture, Part\n"
        "from gristmill.steps.shuffle import Shuffle\n\n"
        'MIXTURE = Mixture(name="own", version="2026.1.1", title="T", description="D", '
        'homepage="https://example.org", license="CC0-1.0", parts=(Part(name="coyo", weight=1.0),), '
        "shuffle=Shuffle(shards=1))\n"
    )
    words = ("mix", mixture, "--out", tmp_path / "data", "--workers", "0")
    (part / "dataset.json").symlink_to("/dev/zero")
    assert "is a link, and a regular file is expected" in gristmill(*words, code=1).stderr
    (part / "dataset.json").unlink()
    shutil.copy(finished / "shards" / "00000.tar", tmp_path / "data" / "secret.tar")
    size = (tmp_path / "data" / "secret.tar").stat().st_size
    for path in (
        "../secret.tar",
        str(tmp_path / "data" / "secret.tar"),
        "shards/../../secret.tar",
        "shards/x",
    ):
        (part / "shards").mkdir(exist_ok=True)
        if not (part / "shards" / "x").is_symlink():
            (part / "shards" / "x").symlink_to(tmp_path / "data" / "secret.tar")
        shard = {"path": path, "sha256": "0" * 64, "size_bytes": size, "samples": 2}
        said = {"name": "coyo", "complete": True, "version": "1", "checksum": "0", "shards": [shard]}
        (part / "dataset.json").write_bytes(orjson.dumps(said))
        assert (
            "Nothing else than files in its own folders of shards is mixed"
            in gristmill(*words, code=1).stderr
        )
    (part / "dataset.json").write_bytes(orjson.dumps({**said, "shards": [{"path": 1}]}))
    assert "is not what a run writes" in gristmill(*words, code=1).stderr


def test_names_with_escape_sequences_are_spelled_out(folder):
    config(folder, name="\x1b[2Jcrawl\x9b")
    (folder / "shards" / "\x1b[31mx.tar").touch()
    for words in (("verify", folder), ("status", folder)):
        done = gristmill(*words, code=int(words[0] == "verify"))
        assert "\x1b" not in done.stdout + done.stderr
        assert "\x9b" not in done.stdout + done.stderr


def without_a_line(folder: Path) -> None:
    body = journal(folder).read_bytes()
    journal(folder).write_bytes(body[: body.rstrip().rindex(b"\n") + 1])


def without_a_shard(folder: Path) -> None:
    lines = journal(folder).read_bytes().splitlines(keepends=True)
    journal(folder).write_bytes(b"".join(line for line in lines if b'"shards/00000.tar"' not in line))


def both(folder: Path) -> None:
    """A shard and its record are changed alike."""
    path = folder / "shards" / "00000.tar"
    was = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes().replace(b"jpg", b"jpG"))
    changed(folder, was, hashlib.sha256(path.read_bytes()).hexdigest())


def a_folder(folder: Path) -> None:
    (folder / "shards" / "00000.tar").unlink()
    (folder / "shards" / "00000.tar").mkdir()


def another(folder: Path) -> None:
    body = (folder / "dataset.json").read_bytes()
    (folder / "dataset.json").write_bytes(body.replace(b'"license": "', b'"license": "not '))


DAMAGES = {
    "a folder for a shard": (a_folder, "shards/00000.tar: is a folder"),
    "a fifo for a shard": (
        lambda folder: ((folder / "shards/00000.tar").unlink(), os.mkfifo(folder / "shards/00000.tar")),
        "shards/00000.tar: is a FIFO",
    ),
    "a shard too many": (
        lambda folder: shutil.copy(folder / "shards/00000.tar", folder / "shards/00009.tar"),
        "shards/00009.tar: belongs to no record, and readers",
    ),
    "a sidecar too many": (
        lambda folder: (folder / "shards/00009_stats.json").touch(),
        "shards/00009_stats.json: belongs to no record",
    ),
    "fates too many": (
        lambda folder: (folder / "fates/more.parquet").touch(),
        "fates/more.parquet: belongs to no record",
    ),
    "a link too many": (
        lambda folder: (folder / "shards/x.tar").symlink_to("/dev/zero"),
        "shards/x.tar: is a link",
    ),
    "no manifest": (lambda folder: (folder / "dataset.json").unlink(), "dataset.json: was removed"),
    "another manifest": (another, "dataset.json: was altered"),
    "a manifest that is a link": (
        lambda folder: (
            (folder / "dataset.json").unlink(),
            (folder / "dataset.json").symlink_to("/dev/zero"),
        ),
        "dataset.json: is damaged",
    ),
    "a record less": (without_a_line, "lines of it were altered or removed"),
    "no record of a shard": (without_a_shard, "lines of it were altered or removed"),
    "a journal less": (lambda folder: journal(folder).unlink(), "is not what was written: it is gone"),
    "a shard and its record": (both, "lines of it were altered or removed"),
    "a longer shard": (
        lambda folder: os.truncate(folder / "shards/00000.tar", 1 << 40),
        "is not what was written: it has 1,099,511,627,776 bytes",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_told(damage, folder):
    gristmill("verify", folder)
    make, told = DAMAGES[damage]
    make(folder)
    assert told in gristmill("verify", folder, code=1).stdout


@pytest.mark.parametrize("damage", ["no record of a shard", "a journal less", "a shard and its record"])
def test_what_is_said_of_a_dataset_never_follows_records_that_were_altered(damage, folder, finished):
    make, told = DAMAGES[damage]
    make(folder)
    for words in (("verify", folder), ("status", folder), ("clean", folder), ("verify", folder, "--repair")):
        gristmill(*words, code=1)
        assert (folder / "dataset.json").read_bytes() == (finished / "dataset.json").read_bytes()
    assert told in gristmill("verify", folder, code=1).stdout


def test_the_run_makes_anew_what_no_record_tells_of(folder, finished):
    without_a_shard(folder)
    gristmill("crawl", folder.parent / "urls.txt", "--out", folder, *GIVEN)
    assert "all as recorded" in gristmill("verify", folder).stdout
    for shard in sorted((finished / "shards").glob("*.tar")):
        assert (folder / "shards" / shard.name).read_bytes() == shard.read_bytes()


@pytest.mark.parametrize("words", [(), ("--repair",)])
def test_a_repair_is_advised_only_where_it_brings_something(words, folder):
    """A file too many is there however often a run makes its own files anew."""
    (folder / "shards/more.tar").touch()
    said = gristmill("verify", folder, *words, code=1).stderr
    assert "anew, give" not in said
    assert "see what is said of each" in said
    (folder / "shards/00000.tar").write_bytes(b"")
    said = gristmill("verify", folder, *words, code=1).stderr
    assert "To make it anew, give" in said


def test_a_proxy_holds_for_one_command_and_its_password_is_written_nowhere(tmp_path):
    """Nobody listens there: the run ends with a sentence, and no row is judged."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/a.jpg\nhttps://127.0.0.1:9/b.jpg")
    folder, proxy = tmp_path / "out", "http://ann:geheim@127.0.0.1:9"
    words = ("--workers", "0", "--set", "crawl.tries=1", "--allow-private-addresses")
    said = [gristmill("crawl", tmp_path / "urls.txt", "--out", folder, "--proxy", proxy, *words, code=3)]
    assert "Check --proxy" in said[0].stderr
    assert "http://127.0.0.1:9" in said[0].stderr
    said.append(gristmill("retry", folder, "--workers", "0", code=2))
    assert (
        "was begun with --allow-private-addresses and --proxy URL, which is stored nowhere" in said[1].stderr
    )
    assert "--allow-private-addresses --proxy URL\n" in said[1].stderr
    said.append(gristmill("retry", folder, "--workers", "0", "--proxy", "https://ann:geheim@h", code=2))
    said.append(gristmill("retry", folder, "--workers", "0", "--proxy", proxy, code=2))
    assert "--proxy http://127.0.0.1:9 --allow-private-addresses\n" in said[3].stderr
    said.append(gristmill("status", folder))
    assert orjson.loads((folder / RUN_CONFIG).read_bytes())["permitted"] == [
        "crawl.allow_private_addresses",
        "crawl.proxy",
    ]
    assert "geheim" not in "".join(done.stdout + done.stderr for done in said)
    assert not [path for path in folder.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]


@pytest.mark.parametrize("name", ["README.md", "croissant.json", "report.html", "dataset.json"])
@pytest.mark.parametrize("what", ["altered", "removed", "replaced"])
def test_other_metadata_files_are_told_and_made_anew(what, name, folder, tmp_path):
    path = folder / name
    was = path.read_bytes()
    path.unlink()
    if what == "altered":
        path.write_bytes(was + b"\n")
    elif what == "replaced":
        (tmp_path / "elsewhere").write_bytes(was)
        path.symlink_to(tmp_path / "elsewhere")
    is_card = name == "README.md" and what != "replaced"
    assert f"{name}: was {what}" in gristmill("verify", folder, code=0 if is_card else 1).stdout
    gristmill("verify", folder, "--repair", code=0 if is_card else 1)
    assert (path.read_bytes(), path.is_symlink()) == (was, False)
    assert f"{name}: was" not in gristmill("verify", folder).stdout


@pytest.mark.parametrize("what", ["spool", "seal"])
def test_intermediate_files_and_a_seal_that_are_gone_are_remarked_on(what, folder):
    (path,) = (
        (folder / ".gristmill").rglob(f"*{what}*")
        if what == "seal"
        else (sorted((folder / ".gristmill").rglob("*.spool"))[:1])
    )
    path.unlink()
    said = gristmill("verify", folder).stdout
    assert "as recorded, but for what follows" in said
    assert path.name in said
