"""The nine of llava-next from InternVL's one repository, laid out as its page says, and from a tree for the rest."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from typed import gristmill

from gristmill import recipes
from gristmill.shards.webdataset import read_samples
from gristmill.sources import gqa
from gristmill.testing.hub import FakeHub
from gristmill.testing.pictures import shipped_pictures

ROOTS = {
    "dvqa": ("images/bar_train_00000001.png", "data/dvqa.zip", "dvqa/"),
    "chartqa": ("train/png/two_col_7.png", "data/chartqa.zip", "chartqa/"),
    "ai2d": ("abc_images/1.png", "data/ai2d.zip", "data/ai2d/"),
    "docvqa": ("train/documents/ffbf0023_4.png", "data/docvqa.tar", "./docvqa/"),
    "geoqa-plus": ("images/1.png", "data/geoqa+.zip", "geoqa+/"),
    "synthdog-en": ("images/0_1.jpg", None, "synthdog-en/"),
    "llava-instruct-150k-zh": ("train2017/000000000042.jpg", None, "coco/"),
}
"""By recipe: how its records name a picture, the archive in the repository, and what stands before it there."""
PLAYGROUND = {
    "sharegpt4v-cap100k": [
        "coco/train2017/000000000042.jpg",
        "wikiart/images/j\u00f6rg.jpg",
        "sam/images/sa_1.jpg",
    ],
    "sharegpt4v-mix665k": ["gqa/images/42.jpg", "ocr_vqa/images/140031996X.jpg", None, "vg/VG_100K/42.jpg"],
}
WEB = ("share_textvqa", "web-celebrity", "web-landmark")


def body(number: int, name: str) -> bytes:
    return shipped_pictures().get(number, "png" if name.endswith("png") else "jpg", width_px=64).data


def packed(archive: str, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    if archive.endswith(".tar"):
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(out, "w") as one:
            for name, data in files.items():
                one.writestr(name, data)
    return out.getvalue()


def lines(images: list[str | None]) -> bytes:
    made = []
    for number, image in enumerate(images):
        said = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": f"Number {number}."}]
        made.append({"id": number, **({"image": image} if image else {}), "conversations": said})
    return "\n".join(map(json.dumps, made)).encode()  # without a last newline


def annotations(name: str) -> str:
    return recipes.find(name).source("annotations").patterns[0]


@pytest.fixture
def repository() -> dict[str, bytes]:
    files = {annotations(name): lines([image]) for name, (image, _, _) in ROOTS.items()}
    files |= {annotations(name): lines(images) for name, images in PLAYGROUND.items()}
    for number, (image, archive, front) in enumerate(ROOTS.values()):
        if archive:
            files[archive] = packed(archive, {f"{front}{image}": body(number, image)})
    files["data/gqa.zip"] = packed(".zip", {"gqa/images/42.jpg": body(11, "a.jpg")})
    files["data/ocr_vqa.zip"] = packed(".zip", {"ocr_vqa/images/140031996X.jpg": body(12, "a.jpg")})
    wrong = "wikiart/images/j\u00c3\u00b6rg.jpg"  # letters decoded by the wrong table
    files["data/wikiart.zip"] = packed(".zip", {wrong: body(13, "a.jpg")})
    files |= {f"data/{one}.zip": packed(".zip", {f"{one}/images/1.jpg": body(14, "a.jpg")}) for one in WEB}
    return files


@pytest.fixture
def tree(tmp_path) -> Path:
    root = tmp_path / "playground/data"
    for number, name in enumerate(
        [
            "coco/train2017/000000000042.jpg",
            "vg/VG_100K/42.jpg",
            "textvqa/train_images/0a0bc91825468c45.jpg",
            "llava/llava_pretrain/images/00414/004146340.jpg",
            "synthdog-en/images/0_1.jpg",
        ]
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body(20 + number, name))
    return root


def test_the_group_from_one_repository_and_a_tree(repository, tree, tmp_path):
    given = dict.fromkeys(("coco", "vg", "textvqa", "llava-pretrain", "synthdog"), tree) | {"sam": "none"}
    words = [word for key, place in given.items() for word in ("--source", f"{key}={place}")]
    with FakeHub({gqa.SOURCE.hub: repository}) as hub:
        told = gristmill(
            "run", "llava-next", "--out", tmp_path, "--workers", 0, *words, code=3, HF_ENDPOINT=hub.url
        )
    assert "sharegpt4v-cap100k: 66.7 % of 3 samples were kept" in told.stderr  # SA-1B's is done without
    kept = {name: samples_in(tmp_path / name) for name in (*ROOTS, *PLAYGROUND)}
    assert kept == {
        **dict.fromkeys(ROOTS, 1),
        "sharegpt4v-cap100k": 2,
        "sharegpt4v-mix665k": 4,
    }


def samples_in(data: Path) -> int:
    return sum(len(list(read_samples(shard))) for shard in (data / "shards").rglob("*.tar"))
