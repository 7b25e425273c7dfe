"""MMC4-core by the command line: from the hub, below what is expected, retried, read back."""

from __future__ import annotations

import base64
import io
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from typed import gristmill

from gristmill.shards.webdataset import read_samples
from gristmill.testing.documents import mmc4_document, write_mmc4
from gristmill.testing.hub import FakeHub
from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0", "--per-host", "16", "--set", "crawl.total_s=3")


@pytest.fixture(scope="module")
def web() -> Iterator[FakeWeb]:
    with FakeWeb() as made:
        yield made


def test_from_the_hub_in_two_parts(tmp_path: Path, web: FakeWeb) -> None:
    write_mmc4(tmp_path / "up", web, documents=25)
    out = tmp_path / "out"
    words = ("run", "mmc4-core", "--out", out, *QUICK, "--set", "crawl.stall_s=1")
    with FakeHub({"jmhessel/mmc4-core-ff": tmp_path / "up"}) as hub:
        done = gristmill(*words, "--tasks", "1:2", "--workers", "2", HF_ENDPOINT=hub.url)
        assert "1 of 2 are begun or done. The same command with the other --tasks" in done.stderr
        config = hub.revision
    later = {"docs_no_face_shard_2_v3.jsonl.zip": b"something else", "docs_no_face_shard_11_v3.jsonl": b""}
    with FakeHub(
        {"jmhessel/mmc4-core-ff": later}, revision="9" * 40
    ) as hub:  # upstream goes on: that commit is gone
        done = gristmill(*words, "--tasks", "0:1", code=1, HF_ENDPOINT=hub.url)
        assert f"has no revision {config}" in done.stderr
    with FakeHub({"jmhessel/mmc4-core-ff": tmp_path / "up"}) as hub:
        gristmill(*words, "--tasks", "0:1", HF_ENDPOINT=hub.url)
    folder = out / "mmc4-core"
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["complete"]
    assert status["adds_up"]
    said = status["documents"]
    assert said["annotated"] == status["counts"]["annotated"] == 54
    assert said["annotated"] > said["with_images"] > said["complete"] == said["kept"] > 10
    assert sum(said["images"].values()) > said["images"]["kept"] > said["images"]["not_needed"] > 0
    text = gristmill("status", out).stdout
    assert f"Documents: 54 annotated, {said['with_images']} with media, {said['complete']} complete" in text
    assert "Hosts with the most failures" in text
    page = (folder / "report.html").read_text()
    assert f"{sum(said['images'].values())} media, by fate" in page
    (source,) = json.loads((folder / "dataset.json").read_text())["sources"]
    assert source["revision"] == config
    assert f"`jmhessel/mmc4-core-ff` at revision `{config}`" in (folder / "README.md").read_text()
    assert not list((folder / ".gristmill").glob("sources/**/*.zip")), "annotation files are let go"
    gristmill("verify", out)
    gristmill("export", folder, "--to", "vila", "--out", tmp_path / "vila")
    assert_vila_reads(tmp_path / "vila", said["kept"])
    (path,) = sorted(folder.glob("shards/*.tar"))
    keys = [sample.key for sample in read_samples(path)]
    assert keys == sorted(keys)
    assert {key[:5] for key in keys} == {"00002", "00010"}


def assert_vila_reads(folder: Path, documents: int) -> None:
    """As ``LazyMMC4Dataset`` does: pictures and rows of the matrix in pairs, each before its sentence."""
    pickles = sorted(folder.glob("*.pkl"))
    assert len(pickles) == len(list(folder.iterdir())) // 2
    read = 0
    for path in pickles:
        for document in pickle.loads(path.read_bytes()):  # written by our own export a moment ago
            sentences = [sentence.replace("<image>", "<IMAGE>") for sentence in document["text_list"]]
            pairs = list(zip(document["image_info"], document["similarity_matrix"], strict=True))[:6]
            for info, similarities in pairs:
                Image.open(io.BytesIO(base64.b64decode(info["image_base64"]))).convert("RGB")
                assert len(similarities) == len(sentences)
                at = info["matched_text_index"]
                sentences[at] = f"<image>\n{sentences[at]}"
            assert " ".join(sentences).count("<image>") == len(pairs) > 0
            read += 1
    assert read == documents


def test_images_that_are_not_there_are_not_exported(tmp_path: Path, web: FakeWeb) -> None:
    place, out = tmp_path / "up", tmp_path / "out"
    place.mkdir()
    urls = [
        web.url(path) for path in ("/fault/404/1", "/photo/1.jpg?w=64", "/fault/html/1", "/photo/2.jpg?w=64")
    ]
    lines = [mmc4_document(urls, ["one", "two", "three", "four"], [3, 2, 1, 0])]
    (place / "docs_shard_7_v3.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    more = ("--set", "crawl.on_missing_image=drop_image")
    gristmill("run", "mmc4-core", "--out", out, "--source", f"annotations={place}", *QUICK, *more)
    gristmill("verify", out)
    gristmill("export", out / "mmc4-core", "--to", "vila", "--out", tmp_path / "vila")
    assert_vila_reads(tmp_path / "vila", 1)
    (path,) = (tmp_path / "vila").glob("*.pkl")
    (document,) = pickle.loads(path.read_bytes())
    assert [info["raw_url"] for info in document["image_info"]] == [urls[1], urls[3]]
    assert [info["matched_text_index"] for info in document["image_info"]] == [2, 0]
    assert document["similarity_matrix"] == [lines[0]["similarity_matrix"][n] for n in (1, 3)]


def test_below_what_is_expected_and_completed_by_a_retry(tmp_path: Path, web: FakeWeb) -> None:
    place, out = tmp_path / "up", tmp_path / "out"
    place.mkdir()
    web.put("/later.jpg", b"", status=500)
    later, photo = web.url("/later.jpg"), web.url("/photo/1.jpg?w=64")
    lines = [mmc4_document([photo, later], ["one", "two"], [0, 1]) for _ in range(4)]
    lines.append(mmc4_document([photo], ["one"], [0]))
    (place / "docs_shard_7_v3.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    words = ("run", "mmc4-core", "--out", out, "--source", f"annotations={place}", *QUICK)
    done = gristmill(*words, code=3)
    assert "20.0 % of 5 samples were kept, fewer than the 40 % that are expected" in done.stderr
    web.put("/later.jpg", web.pictures.get(2, "jpg", 64).data, content_type="image/jpeg")
    web.forget()
    gristmill(
        "retry", out, "--reason", "http_5xx", "--allow-private-addresses", "--source", f"annotations={place}"
    )
    assert web.hits == {"/later.jpg": 1}
    gristmill("verify", out)
    status = json.loads(gristmill("status", out, "--json").stdout)
    assert status["documents"] == {
        "annotated": 5,
        "with_images": 5,
        "complete": 5,
        "kept": 5,
        "images": {"kept": 9},
    }


def test_what_a_retry_cannot_change_is_said(tmp_path: Path, web: FakeWeb) -> None:
    place, out = tmp_path / "up", tmp_path / "out"
    place.mkdir()
    web.put("/late.jpg", b"", status=500)
    late, photo = web.url("/late.jpg"), web.url("/photo/2.jpg?w=64")
    lines = [mmc4_document([photo, late], ["one", "two"], [0, 1])]
    path = place / "docs_shard_7_v3.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    words = ("run", "mmc4-core", "--source", f"annotations={place}", *QUICK)
    words += ("--set", "crawl.on_missing_image=drop_image")
    done = gristmill(*words, "--out", out)
    assert "gristmill retry" not in done.stdout
    web.forget()
    said = gristmill("retry", out, "--reason", "http_5xx").stderr
    assert "no document was lost for http_5xx. Images that failed so: http_5xx 1;" in said
    assert "1 document kept without some images" in said
    assert "gristmill run mmc4-core --out ANOTHER" in said
    assert not web.hits

    lines.append(mmc4_document([late], ["one"], [0]))
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = gristmill(*words, "--out", tmp_path / "more")
    line = f"gristmill retry {tmp_path / 'more' / 'mmc4-core'} --reason http_5xx"
    assert line in done.stdout
    web.put("/late.jpg", web.pictures.get(2, "jpg", 64).data, content_type="image/jpeg")
    web.forget()
    said = gristmill(
        *line.split()[1:], "--allow-private-addresses", "--source", f"annotations={place}"
    ).stderr
    assert "asking again for 1 document lost for http_5xx 1. 1 document kept without some images" in said
    assert web.hits == {"/late.jpg": 1}
    status = json.loads(gristmill("status", tmp_path / "more", "--json").stdout)
    assert status["documents"]["complete"] == 1
    assert status["documents"]["kept"] == 2


def test_what_is_known_beforehand() -> None:
    said = gristmill("show", "mmc4-core").stdout
    assert "numeric order" in said
    assert "deleted upstream" in said
    planned = json.loads(gristmill("plan", "mmc4-core", "--offline", "--json").stdout)
    assert planned["rows"] == 5_500_000
    assert planned["requests"] == pytest.approx(22_500_000, rel=0.01)
    said = gristmill("run", "mmc4-core", "--out", "x", "--set", "annotations.order=x", code=2).stderr
    assert "expected published or numeric" in said


def test_a_plan_for_some_of_the_published_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"docs_no_face_shard_{number}_v3.jsonl").touch()
    words = ("plan", "mmc4-core", "--source", f"annotations={tmp_path}")
    planned = json.loads(gristmill(*words, "--json").stdout)
    assert planned["rows"] == round(5_500_000 * 3 / 23_085)
    assert planned["shard_bytes"] < 50e6
    assert "(estimated: of 23,085 published files 3 are there)" in gristmill(*words).stdout
