"""mix665k over a tree as people have it, with covers crawled by the recipe ocr-vqa-images and given as its shards."""

import json
from pathlib import Path

import pytest
from typed import gristmill

from gristmill.shards.webdataset import read_samples
from gristmill.testing.pictures import shipped_pictures
from gristmill.testing.web import FakeWeb

TREE = [
    "coco/train2017/000000000042.jpg",
    "gqa/images/42.jpg",
    "textvqa/train_images/0a0bc91825468c45.jpg",
    "vg/VG_100K/42.jpg",
    "vg/VG_100K_2/43.jpg",
]
COVERS = {"1400319960": "jpg", "140031996X": "gif"}


def record(number: int, image: str | list[str] | None) -> dict:
    tags = "<image>\n" * (len(image) if isinstance(image, list) else bool(image))
    asked = f"{tags}What is number {number}?"
    said = [{"from": "human", "value": asked}, {"from": "gpt", "value": f"Number {number}."}]
    return {"id": "42", **({"image": image} if image else {}), "conversations": said}


@pytest.fixture
def tree(tmp_path) -> Path:
    root = tmp_path / "playground/data"
    for number, name in enumerate(TREE):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(shipped_pictures().get(number, width_px=100).data)
    return root


def test_a_tree_as_people_have_it_and_crawled_covers(tree, tmp_path):
    out = tmp_path / "out"
    with FakeWeb(hosts=1) as web:
        books = {
            number: {"imageURL": web.url(f"/photo/{n}.{kind}?w=800"), "title": "Kites", "split": 1}
            for n, (number, kind) in enumerate(COVERS.items())
        }
        books["1400319999"] = {"imageURL": web.url("/photo/9.jpg"), "title": "Of the benchmark", "split": 3}
        (tmp_path / "dataset.json").write_text(json.dumps(books))
        polite = ("--contact", "me@example.org", "--allow-private-addresses", "--set", "rows.where=split=1")
        given = ("--source", f"annotations={tmp_path / 'dataset.json'}", "--workers", 0)
        gristmill("run", "ocr-vqa-images", "--out", out, *given, *polite)
    assert samples(out / "ocr-vqa-images")[0].parts["jpg"] == shipped_pictures().get(0, width_px=800).data
    images = [*TREE, *(f"ocr_vqa/images/{number}.jpg" for number in COVERS), "gqa/images/gone.jpg", None]
    records = [record(number, image) for number, image in enumerate(images)] * 4
    records[-2] = record(99, "gqa/images/42.jpg")
    records.append(record(100, TREE[:2]))
    rows = tmp_path / "llava_v1_5_mix665k.json"
    rows.write_text(json.dumps(records, indent=2))
    places = {"annotations": rows, "ocr-vqa": out / "ocr-vqa-images/shards"}
    places |= dict.fromkeys(("coco", "gqa", "textvqa", "vg"), tree)
    run = ("run", "llava-v1.5-mix665k", "--out", out, "--workers", 0)
    told = gristmill(*run, *sources({**places, "vg": "none"}), code=3)
    assert "70.3 % of 37 samples were kept" in told.stderr
    data = out / "llava-v1.5-mix665k"
    assert len(samples(data)) == len(records) - 3 - 8  # the picture that is nowhere, and two of Visual Genome
    card = (data / "README.md").read_text()
    assert "source `vg`: left out, nothing was read of it" in card
    assert "source `coco`: somebody's own copy, in the place of <http" in card
    again = ("retry", data, "--reason", "no_file", "--workers", 0)
    told = gristmill(*again, *sources({"vg": tree}), code=None)  # a row lacks a picture of GQA, too
    assert "nobody says where it lies. Name it: --source gqa=PATH" in told.stderr
    gristmill(*again, *sources({"vg": tree, "gqa": tree}), code=3)
    assert len(samples(data)) == len(records) - 3
    said = json.loads(gristmill("status", data, "--json").stdout)["documents"]
    assert said["with_images"] == len(records) - 4  # those of text alone are none
    assert said["images"] == {"kept": 31, "no_file": 3}
    gristmill("verify", data)
    gristmill("export", data, "--to", "llava", "--leave-out", "--out", tmp_path / "llava")
    exported = [json.loads(path.read_text()) for path in (tmp_path / "llava").glob("*.json")]
    named = {name for rows in exported if isinstance(rows, list) for one in rows for name in _names(one)}
    assert {"coco/train2017/000000000042.jpg", "vg/VG_100K_2/43.jpg"} <= named
    assert any(name.startswith("ocr_vqa/images/140031996X.") for name in named)


def sources(places: dict) -> list[str]:
    return [word for key, place in places.items() for word in ("--source", f"{key}={place}")]


def samples(data: Path) -> list:
    return [one for shard in sorted((data / "shards").rglob("*.tar")) for one in read_samples(shard)]


def _names(record: dict) -> list[str]:
    image = record.get("image", [])
    return [image] if isinstance(image, str) else image
