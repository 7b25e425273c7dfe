"""The command line on the made-up web and hub: by its real entry point, and in this process."""

from __future__ import annotations

import errno
import gzip
import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typed import by_entry_point, gristmill

from gristmill.shards.webdataset import read_samples
from gristmill.testing.hub import FakeHub
from gristmill.testing.rows import write_coyo
from gristmill.testing.web import FakeWeb

SIDES = ("width", "height")
QUICK = ("--allow-private-addresses", "--workers", "0", "--per-host", "16")


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as made:
        yield made


def list_of(folder: Path, web: FakeWeb, rows: int) -> Path:
    lines = ["url,text"]
    for i in range(rows):
        path = f"/fault/5xx-heals/{i}" if i % 7 == 3 else f"/photo/{i % 40}.jpg?w=160"
        lines.append(f"{web.url(path, host=i)},caption {i}")
    path = folder / "urls.csv"
    path.write_text("\n".join(lines))
    return path


TIMES = re.compile(rb'"(duration|start_time|end_time)": [0-9.]+,')


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder; of statistics all but the times."""
    return {path.name: TIMES.sub(b"", path.read_bytes()) for path in sorted(folder.iterdir())}


def test_crawl_status_verify_export_clean(tmp_path: Path, web: FakeWeb) -> None:
    urls, out = list_of(tmp_path, web, 70), tmp_path / "out"
    web.forget()
    words = ("crawl", urls, "--out", out, "--caption-column", "text", "--shard-samples", "25", *QUICK)
    by_entry_point(*words, "--set", "crawl.tries=1", "--workers", "2")
    assert max(count for path, count in web.hits.items() if path.startswith("/photo")) == 1
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["counts"]["annotated"] == 70
    assert status["counts"]["packed"] == 60
    assert status["dropped"] == {"http_5xx": 10}
    before = tree(out / "shards")

    # what failed before comes now, into additional shards, with the runtime options of the first run
    for _ in range(2):
        gristmill("retry", out, "--reason", "http_5xx", "--allow-private-addresses")
    after = tree(out / "shards")
    assert {name: after[name] for name in before} == before
    assert json.loads(gristmill("status", out, "--json").stdout)["counts"]["packed"] == 70
    by_entry_point("verify", out)

    exported = tmp_path / "vila"
    gristmill("export", out, "--to", "vila", "--out", exported)
    assert_vila_reads(exported, samples=70)
    gristmill("export", out, "--to", "webdataset-index", "--out", out / "shards")
    gristmill("verify", out)

    gristmill("clean", ".", cwd=out)
    assert not list((out / ".gristmill" / "crawled").glob("*.spool"))
    (out / "shards" / "00001.tar").unlink()
    assert f"give: gristmill verify {out} --repair" in gristmill("verify", out, code=1).stderr
    # the web answers otherwise by now: everything is as one run with these answers would have left it
    gristmill(*words, "--set", "crawl.tries=1")
    gristmill("verify", out)
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["counts"] == {**status["counts"], "annotated": 70, "packed": 70}
    assert [len(list(read_samples(p))) for p in sorted((out / "shards").glob("*.tar"))] == [25, 25, 20]


def test_a_lost_shard_is_made_again_also_after_clean(tmp_path: Path, web: FakeWeb) -> None:
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text("\n".join(web.url(f"/photo/{i}.jpg?w=160") for i in range(30)))
    words = ("crawl", urls, "--out", out, "--shard-samples", "12", *QUICK)
    gristmill(*words)
    before = tree(out / "shards")
    for clean in (False, True):
        if clean:
            gristmill("clean", out)
        (out / "shards" / "00001.tar").unlink()
        gristmill(*words)
        assert tree(out / "shards") == before
    # neither is there any more, the shard nor the pictures that it was made of
    spool = next((out / ".gristmill" / "crawled").glob("*.spool"))
    spool.write_bytes(spool.read_bytes().replace(b"\xff\xd9", b"\xff\xd8"))
    (out / "shards" / "00001.tar").unlink()
    told = gristmill(*words, code=1).stderr
    assert f"{spool}: " in told
    assert "Remove that file and give the run's command again" in told
    spool.unlink()
    gristmill(*words)
    assert tree(out / "shards") == before


@pytest.mark.parametrize("killed", [False, True])
def test_clean_makes_room_on_a_full_disk(killed: bool, tmp_path: Path, web: FakeWeb, monkeypatch) -> None:
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text("\n".join(web.url(f"/photo/{i}.jpg?w=160") for i in range(9)))
    words = ("crawl", urls, "--out", out, *QUICK)
    gristmill(*words)
    shards = tree(out / "shards")
    crawled = out / ".gristmill" / "crawled"
    write, full = os.write, [True]

    def refuse_while_full(fd: int, body: bytes) -> int:
        if b"released" in body and any(crawled.glob("*.spool")):
            full.append(False)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if b"released" in body and killed:  # the spool is gone, and no note of it is there
            raise KeyboardInterrupt
        return write(fd, body)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse_while_full)
        said = gristmill("clean", out, code=130 if killed else 0).stdout
    assert len(full) > 1
    assert killed or "removed 1 file, " in said
    web.forget()
    gristmill(*words)
    assert not [path for path in crawled.iterdir() if path.suffix == ".spool"]
    assert (tree(out / "shards"), web.hits) == (shards, {})


def assert_vila_reads(folder: Path, samples: int) -> None:
    """As LazyCoyoDataset does: half as many shards as entries, counts beside pickles, four keys it uses."""
    entries = sorted(folder.iterdir())
    pickles = [path for path in entries if path.suffix == ".pkl"]
    assert len(pickles) == len(entries) // 2
    total = 0
    for path in pickles:
        items: list[dict[str, Any]] = pickle.loads(path.read_bytes())
        assert int(path.with_suffix(".count").read_text()) == len(items)
        assert all(type(item) is dict and item["text"] and item["image"][:4] == "/9j/" for item in items)
        total += len(items)
    assert total == samples


@pytest.mark.slow
def test_coyo_from_the_hub_with_tasks(tmp_path: Path, web: FakeWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.cli.progress._LOG_EVERY_S", 0.0)
    write_coyo(tmp_path / "up", web, files=2, rows=300)
    out = tmp_path / "out"
    words = ("run", "coyo-700m", "--out", out, *QUICK, "--set", "crawl.total_s=3", "--set", "crawl.stall_s=1")
    with FakeHub({"kakaobrain/coyo-700m": tmp_path / "up"}, revision="54ee2d8") as hub:
        for typed, span in ((by_entry_point, "1:2"), (gristmill, "0:1")):
            said = typed(*words, "--tasks", span, HF_ENDPOINT=hub.url).stderr
    assert re.search(r"annotation files: ([\d.]+ kB) of \1 fetched", said)
    folder = out / "coyo-700m"
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["complete"]
    assert status["adds_up"]
    assert status["counts"]["annotated"] == 600
    assert not list((folder / ".gristmill").glob("sources/**/*.parquet")), "annotation files are let go"
    samples = [sample for path in sorted(folder.glob("shards/*.tar")) for sample in read_samples(path)]
    assert len(samples) == status["counts"]["packed"] > 0
    facts = json.loads(samples[0].parts["json"])
    assert facts["clip_sim"] > 0.6
    assert facts["upstream"]["id"] == int(samples[0].key)
    told = [json.loads(sample.parts["json"]) for sample in samples]
    sizes = [({f["upstream"][k] for k in SIDES}, {f[f"original_{k}"] for k in SIDES}) for f in told]
    assert status["listed_sizes"] == len(sizes)
    assert status["other_sizes"] == sum(listed != came for listed, came in sizes) > 0
    for name in ("README.md", "croissant.json", "dataset.json", "report.html"):
        assert (folder / name).stat().st_size > 500


def test_a_manifest_that_is_not_what_the_records_say(tmp_path: Path, web: FakeWeb) -> None:
    urls, out = list_of(tmp_path, web, 3), tmp_path / "out with blanks"
    words = ("crawl", urls, "--out", out, *QUICK)
    gristmill(*words)
    path = out / "dataset.json"
    whole = path.read_text()
    other = json.loads(whole)
    other["shards"][0]["sha256"] = "0" * 64
    for body, said in (
        ("{", "is damaged"),
        ("{}", "is damaged"),
        (json.dumps(other), "gives another SHA-256 of shards/00000.tar"),
    ):
        path.write_text(body)
        done = gristmill("verify", out, code=1)
        assert f"dataset.json: {said}" in done.stdout
        assert f"gristmill verify '{out}' --repair" in done.stderr
    path.unlink()
    assert "dataset.json: was removed" in gristmill("verify", out, code=1).stdout
    gristmill("verify", out, "--repair", code=1)  # which writes it anew
    gristmill("verify", out)
    assert path.read_text() == whole
    (out / "report.html").unlink()
    assert "report.html" not in gristmill("status", out).stdout


def test_drift_is_refused_field_by_field(tmp_path: Path, web: FakeWeb) -> None:
    urls, out = list_of(tmp_path, web, 3), tmp_path / "out"
    gristmill("crawl", urls, "--out", out, *QUICK)
    said = gristmill("crawl", urls, "--out", out, "--size", "200", *QUICK, code=2).stderr
    assert "crawl.size_px" in said
    assert "was 336" in said
    urls.write_text(urls.read_text() + "\nhttp://127.0.0.1/further,text")
    assert "input.list/urls.csv" in gristmill("crawl", urls, "--out", out, *QUICK, code=2).stderr


@pytest.mark.parametrize("theirs", ["README.md", "dataset.json", "shards/00000.tar", "fates/mine.parquet"])
def test_what_no_run_made_is_not_written_over(theirs: str, tmp_path: Path, web: FakeWeb) -> None:
    urls, out = list_of(tmp_path, web, 3), tmp_path / "out"
    (out / theirs).parent.mkdir(parents=True)
    (out / theirs).write_text("mine")
    said = gristmill("crawl", urls, "--out", out, *QUICK, code=2).stderr
    assert theirs.partition("/")[0] in said
    assert "Choose another folder" in said
    assert (out / theirs).read_text() == "mine"
    (out / theirs).unlink()
    (out / "notes.txt").write_text("these do not stand in the way")
    gristmill("crawl", urls, "--out", out, *QUICK)


def test_private_addresses_and_total_failure(tmp_path: Path, web: FakeWeb) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text(web.url("/photo/1.jpg").replace(str(web.port), "80") + "\nfile:///etc/hostname\n")
    done = gristmill("crawl", urls, "--out", tmp_path / "out", "--json", code=3)
    assert json.loads(done.stdout)["dropped"] == {"private_address": 1, "bad_scheme": 1}
    assert "0 % of 2 samples" in done.stderr
    assert "Asking again does not bring back bad_scheme 1, private_address 1." in done.stderr


def test_retry_is_advised_for_what_may_come_back_alone(tmp_path: Path, web: FakeWeb) -> None:
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    gone = [web.url(f"/fault/404/{n}") for n in range(2)]
    urls.write_text("\n".join(gone))
    words = ("--set", "crawl.tries=1", *QUICK)
    said = gristmill("crawl", urls, "--out", out, *words, code=3)
    assert "gristmill retry" not in said.stdout + said.stderr
    assert "Asking again does not bring back http_404 2." in said.stderr
    assert "--set crawl.mirror=" in said.stderr
    assert (
        "nothing is asked for again: no sample was lost for reset or stalled"
        in gristmill("retry", out, "--reason", "stalled", "--reason", "reset").stderr
    )

    urls.write_text("\n".join([*gone, web.url("/heals.jpg")]))
    out = tmp_path / "other"
    web.put("/heals.jpg", b"", status=503)
    said = gristmill("crawl", urls, "--out", out, *words, code=3)
    line = f"gristmill retry {out} --reason http_5xx --allow-private-addresses"  # as the run was allowed
    assert line in said.stdout
    assert f"http_5xx 1 may come back: {line}\nIt does not bring back http_404 2." in said.stderr
    web.put("/heals.jpg", web.pictures.get(1, "jpg", 64).data, content_type="image/jpeg")
    healed = gristmill(*line.split()[1:])
    assert "asking again for 1 sample lost for http_5xx 1." in healed.stderr
    assert line not in healed.stdout
    assert json.loads(gristmill("status", out, "--json").stdout)["hosts"] == {"127.0.0.1": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "coyo-700", "--out", "x"), "Did you mean 'coyo-700m'?"),
        (("show", "vflam"), "Did you mean 'vflan'?"),
        (("plan", "nothing"), "m3it, vflan, vila-v1.5-align"),
        (("run", "crawl", "--out", "x"), "gristmill crawl URLS"),
        (("rnu",), "Did you mean 'run'?"),
        (("crawl", "absent.csv", "--out", "x"), "no such file"),
        (("status", "."), "holds no dataset"),
        (("run", "coyo-700m", "--out", "x", "--set", "crawl.size=3"), "Did you mean 'size_px'?"),
        (("run", "coyo-700m", "--out", "x", "--tasks", "3"), "0:8"),
        (("run", "coyo-700m", "--out", "x", "--source", "annotations="), "expected KEY=VALUE"),
        (
            ("run", "m3it-gqa", "--out", "x", "--source", "annotations=http://127.0.0.1:1/train.jsonl"),
            "no checksum is known of this source",
        ),
    ],
)
def test_wrong_use_says_what_to_type(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    typed = by_entry_point if words == ("rnu",) else gristmill
    assert said in typed(*words, code=2, cwd=tmp_path).stderr


def test_a_folder_within_the_list_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lists/a.txt", "lists/deep/b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("http://127.0.0.1/a.jpg\n")
    scandir = os.scandir

    def refuse(path: str | Path) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)  # root reads everything, so no mode can play it
    said = gristmill("crawl", tmp_path / "lists", "--out", tmp_path / "out", code=1).stderr
    assert "lists/deep: permission was denied" in said


def test_what_is_no_host_name_does_not_fill_the_account(tmp_path: Path) -> None:
    urls, out = tmp_path / "urls.txt", tmp_path / "out"
    urls.write_text(f"http://{'a.' * 10_000}com/x.jpg\n")
    said = gristmill("crawl", urls, "--out", out, *QUICK, code=3).stdout
    assert "aaa" not in said.replace(".", "")
    assert json.loads(gristmill("status", out, "--json").stdout)["hosts"] == {}


def test_a_damaged_list_in_a_folder_costs_itself(tmp_path: Path, web: FakeWeb) -> None:
    folder, out = tmp_path / "lists", tmp_path / "out"
    folder.mkdir()
    said = gristmill("crawl", folder, "--out", out, *QUICK, code=2).stderr
    assert f"{folder}: no file there is like *.txt" in said
    assert "--source" not in said
    for number, name in enumerate(("a.txt", "c.txt")):
        (folder / name).write_text(web.url(f"/photo/{number}.jpg?w=160"))
    gristmill("crawl", folder, "--out", out, "--tasks", "5:6", *QUICK, code=2)
    assert not out.exists()
    (folder / "b.parquet").write_bytes(b"PAR1 and no more")
    said = gristmill("crawl", folder, "--out", out, *QUICK, code=1).stderr
    assert said.count("b.parquet: damaged Parquet") == 1
    assert said.endswith("gristmill: a task failed; why, and what to do, is said above.\n")
    told = json.loads(gristmill("status", out, "--json").stdout)
    assert not told["complete"]
    assert told["counts"]["kept"] == 2


def test_a_list_without_its_column_is_replaced_by_one_that_has_it(tmp_path: Path, web: FakeWeb) -> None:
    folder, out = tmp_path / "lists", tmp_path / "out"
    folder.mkdir()
    (folder / "b.csv").write_text("adress\nx\n")
    assert "b.csv has no column 'url'" in gristmill("crawl", folder, "--out", out, *QUICK, code=2).stderr
    (folder / "a.txt").write_text(web.url("/photo/1.jpg?w=160"))  # nothing was made: the folder is begun anew
    assert "give the same command" in gristmill("crawl", folder, "--out", out, *QUICK, code=2).stderr
    (folder / "b.csv").write_text(f"url\n{web.url('/photo/2.jpg?w=160')}\n")
    done = json.loads(gristmill("crawl", folder, "--out", out, "--json", *QUICK).stdout)
    assert done["counts"]["packed"] == 2
    (folder / "a.txt").write_text(web.url("/photo/3.jpg?w=160"))
    assert "begun otherwise" in gristmill("crawl", folder, "--out", out, *QUICK, code=2).stderr


def test_a_folder_of_lists_of_every_kind(tmp_path: Path, web: FakeWeb) -> None:
    folder, texts = tmp_path / "lists", {"a.txt": "{}", "b.csv": "url\n{}", "c.jsonl": '{{"url": "{}"}}'}
    folder.mkdir()
    for number, (name, text) in enumerate(texts.items()):
        body = text.format(web.url(f"/photo/{number}.jpg?w=160"))
        (folder / name).write_text(body)
        (folder / f"packed-{name}.gz").write_bytes(gzip.compress(body.encode()))
        with zipfile.ZipFile(folder / f"zipped-{name}.zip", "w") as packed:
            packed.writestr(name, body)
    (folder / "photographs.zip").write_bytes(b"no list at all")
    done = gristmill("crawl", folder, "--out", tmp_path / "out", "--json", *QUICK)
    assert json.loads(done.stdout)["counts"]["packed"] == 9


def test_settings_of_a_list_can_be_looked_up() -> None:
    assert "total_s = 30.0" in gristmill("show", "crawl").stdout
    assert "gristmill show crawl" in " ".join(gristmill("crawl", "--help").stdout.split())
    assert "hygiene" in gristmill("show", "import").stdout


def test_help_of_every_command_has_an_example() -> None:
    listing = gristmill("--help").stdout
    for name in (
        "list",
        "show",
        "plan",
        "run",
        "status",
        "retry",
        "verify",
        "export",
        "import",
        "crawl",
        "clean",
        "demo",
    ):
        assert name in listing
        assert "Example:" in gristmill(name, "--help").stdout


def test_a_tail_that_was_all_there_is_leaves_nothing_and_says_so(tmp_path: Path, web: FakeWeb) -> None:
    words = ("crawl", list_of(tmp_path, web, 3), *QUICK, "--set", "pack.drop_tail=true")
    said = gristmill(*words, "--out", tmp_path / "out", code=3).stderr
    assert "none of 3 samples kept is in a shard: tail 3. They would fill no shard" in said
    gristmill(*words, "--out", tmp_path / "two", "--shard-samples", "2")
