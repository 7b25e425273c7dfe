"""Runs of documents: what is kept, its bytes, its order, its fates and its account."""

import io
import json
import urllib.error
import urllib.request

import document_world
import numpy as np
import orjson
import pytest
from document_world import document, fates, last_fates, run_here, samples, write
from PIL import Image, UnidentifiedImageError
from small_world import NO_MANIFEST, check_final_names, totals, tree_of

from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.run.maintenance.reopen import open_dataset
from gristmill.run.maintenance.verify import verify
from gristmill.spec.errors import DriftError

DEAD = ["/fault/404/1", "/fault/html/1", "/fault/410/1", "/fault/truncated/1", "/photo/none.jpg?w=1"]


def address(web, path):
    """A path lies on one host, so that requests of a path are requests of a URL."""
    return web.url(path, len(path) + ord(path[-1]))


def pages(web, count, seed, *, most=6):
    """Documents of 1 to ``most`` images; about a tenth of the images is dead, some occur several times."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(count):
        paths = []
        for _ in range(int(rng.integers(1, most + 1))):
            dead = rng.random() < 0.1
            path = (
                str(rng.choice(DEAD))
                if dead
                else f"/photo/{rng.integers(12)}.jpg?w=400&n={rng.integers(200)}"
            )
            paths.append(address(web, path))
        made.append(document(paths, n))
    return made


@pytest.fixture(scope="module", autouse=True)
def patient():
    """A busy machine may cut a connection; that is no answer, so ask again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(document_world.SETTINGS, "crawl.tries", "3")
        yield


@pytest.fixture(scope="module")
def place(shared_web, tmp_path_factory):
    files = {number: pages(shared_web, 12, number) for number in (2, 10, 1)}
    files[2][5:5] = ['{"text_list": ["cut', document([], 99)]
    return write(tmp_path_factory.mktemp("mmc4"), files)


@pytest.fixture(scope="module")
def made(shared_web, place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    ended, _ = run_here(place, folder)
    assert ended.complete
    return folder


# The published rule, from its description and by other means: every image fetched one by one, decoded by Pillow,
# shrunk to a shorter side of 336 where it is longer; a document counts only if all its images do.


def published(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            image = Image.open(io.BytesIO(answer.read())).convert("RGB")
    except (urllib.error.HTTPError, UnidentifiedImageError, OSError):
        return None
    short = min(image.size)
    if short > 336:
        image = image.resize([side * 336 // short for side in image.size], Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32)


def published_documents(place):
    cache, kept = {}, {}
    for path in sorted(place.iterdir()):
        number = int(path.name.split("_")[4])
        for row, line in enumerate(path.read_text().splitlines()):
            try:
                urls = [info["raw_url"] for info in json.loads(line)["image_info"]]
            except ValueError:
                continue
            images = [cache[u] if u in cache else cache.setdefault(u, published(u)) for u in urls]
            if images and all(image is not None for image in images):
                kept[f"{number:05d}{row:010d}"] = images
    return kept


def test_documents_and_images_are_those_of_the_published_rule(place, made):
    expected, found = published_documents(place), samples(made)
    assert 8 < len(expected) < 36
    assert set(found) == set(expected)
    for key, images in expected.items():
        assert [p for p in found[key] if p != "json"] == [f"{n:03d}.jpg" for n in range(len(images))]
        for n, image in enumerate(images):
            ours = np.asarray(Image.open(io.BytesIO(found[key][f"{n:03d}.jpg"])).convert("RGB"), np.float32)
            assert ours.shape == image.shape
            assert np.abs(ours - image).mean() < 6


def test_the_json_holds_the_document_and_its_reading_order(place, made):
    lines = {
        f"{number:05d}{row:010d}": line
        for number in (1, 2, 10)
        for row, line in enumerate((place / f"docs_no_face_shard_{number}_v3.jsonl").read_text().splitlines())
    }
    for key, parts in samples(made).items():
        record = orjson.loads(parts["json"])
        assert record["upstream"] == json.loads(lines[key])
        assert record["caption"] is None
        assert list(record["media"]) == [p for p in parts if p != "json"]
        (turn,) = record["turns"]
        assert turn["role"] == "document"
        said = [p for p in turn["parts"] if "text" in p]
        assert [p["text"] for p in said] == record["upstream"]["text_list"]
        for n, info in enumerate(record["upstream"]["image_info"]):
            behind = turn["parts"][turn["parts"].index({"media": f"{n:03d}.jpg"}) + 1]
            assert behind["text"] == record["upstream"]["text_list"][info["matched_text_index"]]
            facts = record["media"][f"{n:03d}.jpg"]
            assert facts["url"] == info["raw_url"]
            assert facts["stored_bytes"] == len(parts[f"{n:03d}.jpg"])


def test_samples_stand_in_the_order_of_numbers_and_lines(made):
    keys = list(samples(made))
    assert keys == sorted(keys)
    assert [key[:5] for key in dict.fromkeys(k[:5] for k in keys)] == ["00001", "00002", "00010"]


@pytest.mark.parametrize(
    "more", [pytest.param({"workers": 2}, marks=pytest.mark.slow), {"settings": {"crawl.in_flight": "1"}}]
)
def test_the_same_bytes_whatever_the_order_of_answers(place, made, web, tmp_path, more):
    web.latency_s = 0.02 if "workers" in more else 0
    assert run_here(place, tmp_path / "out", **more)[0].complete
    assert tree_of(tmp_path / "out") == tree_of(made)


def test_a_url_is_asked_for_once_a_file_and_lost_documents_cost_nothing_more(place, web, tmp_path):
    assert run_here(place, tmp_path / "out", span=(0, 1))[0].complete is False
    assert set(web.hits.values()) == {1}
    said = list(fates(tmp_path / "out"))
    asked = {fate["url"] for fate in said if fate["reason"] != "not_needed"} - {None}
    never = {fate["url"] for fate in said if fate["reason"] == "not_needed"} - asked
    assert never
    assert {address(web, path) for path in web.hits} == asked


def test_every_row_and_every_image_has_a_fate(place, made):
    said = last_fates(made)
    name = "docs_no_face_shard_2_v3.jsonl"
    assert said[name, 5, ""] == "bad_row"
    (line,) = [f["detail"] for f in fates(made) if f["row"] == 5 and f["file"] == name]
    assert line.startswith("line 6: ")
    assert said[name, 6, ""] == "few_images"
    kept = samples(made)
    for number in (1, 2, 10):
        path = place / f"docs_no_face_shard_{number}_v3.jsonl"
        for row, text in enumerate(path.read_text().splitlines()):
            if (number, row) in {(2, 5), (2, 6)}:
                continue
            own = [said[path.name, row, f"{n:03d}.jpg"] for n in range(len(json.loads(text)["image_info"]))]
            failed = [n for n, reason in enumerate(own) if reason not in (None, "not_needed")]
            if f"{number:05d}{row:010d}" in kept:
                assert own == [None] * len(own)
            else:
                assert failed
                assert set(own[: failed[0]]) <= {None}
    check_final_names(made)


def test_the_account_adds_up(place, made):
    sums, config = totals(made), open_dataset(made).config
    levels = funnel(sums, config)
    said = documents(sums, levels)
    assert levels.adds_up
    assert (said.annotated, said.with_images) == (38, 36)
    assert said.complete == said.kept == len(samples(made))
    images = [reason for (_, _, medium), reason in last_fates(made).items() if medium]
    assert said.image_count == len(images)
    assert said.images["kept"] == sum(len(parts) - 1 for parts in samples(made).values())
    assert said.images["kept"] + said.images["document_lost"] == images.count(None)
    assert said.images["not_needed"] == images.count("not_needed")
    assert levels.levels[0].title == "documents in the annotation files"


def test_the_published_order_is_that_of_names(place, made, tmp_path):
    settings = {"annotations.order": "published", "pack.shard_samples": "1000"}
    assert run_here(place, tmp_path / "out", settings=settings)[0].complete
    keys = list(samples(tmp_path / "out"))
    assert list(dict.fromkeys(key[:5] for key in keys)) == ["00010", "00001", "00002"]
    assert set(keys) == set(samples(made))
    with pytest.raises(DriftError, match=r"order\.annotations"):
        run_here(place, tmp_path / "out", settings={"pack.shard_samples": "1000"})


def test_documents_with_the_images_that_live(shared_web, place, made, tmp_path):
    settings = {"crawl.on_missing_image": "drop_image", "crawl.min_images": "2", "pack.shard_samples": "1000"}
    folder = tmp_path / "out"
    assert run_here(place, folder, settings=settings)[0].complete
    whole, found = samples(made), samples(folder)
    said = last_fates(folder)
    assert not [key for key, parts in whole.items() if len(parts) > 2 and key not in found]
    lacking = 0
    for key, parts in found.items():
        record = orjson.loads(parts["json"])
        number, row = int(key[:5]), int(key[5:])
        infos = record["upstream"]["image_info"]
        lost = [f"{n:03d}.jpg" for n in range(len(infos)) if f"{n:03d}.jpg" not in parts]
        assert record["missing_media"] == lost
        shown = [p["media"] for turn in record["turns"] for p in turn["parts"] if "media" in p]
        assert sorted(shown) == list(record["media"]) == [p for p in parts if p != "json"]
        assert len(shown) >= 2
        for name in lost:
            assert said[f"docs_no_face_shard_{number}_v3.jsonl", row, name] in {
                "http_404", "http_410", "not_an_image", "truncated",
            }  # fmt: skip
        lacking += bool(lost)
    assert lacking
    account = documents(totals(folder), funnel(totals(folder), open_dataset(folder).config))
    assert (account.kept, account.complete) == (len(found), len(found) - lacking)


def test_verify_understands_documents(made):
    result = verify(Ledger(made), threads=2, tell=lambda _: None)
    assert (result.problems, result.remarks) == ([], NO_MANIFEST)
    assert result.samples == len(samples(made))
    assert result.pictures == sum(len(parts) - 1 for parts in samples(made).values())


def test_files_without_a_single_row_come_to_their_end(tmp_path):
    place = write(tmp_path / "empty", {1: []})
    ended, _ = run_here(place, tmp_path / "out", workers=1)
    assert ended.complete
    assert not samples(tmp_path / "out")


def test_a_worker_imports_nothing_from_the_folder_that_it_is_started_in(place, tmp_path, monkeypatch):
    (tmp_path / "orjson.py").write_text("raise SystemExit('imported from the working folder')\n")
    monkeypatch.chdir(tmp_path)
    ended, _ = run_here(place, tmp_path / "out", workers=1)
    assert ended.complete
