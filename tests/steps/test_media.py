"""Pictures out of archives, folders, Parquet columns and files: the same ones from each, and every fault told."""

import base64
import hashlib
import io
import random
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl_box import Box
from made import foldered, indexed, tar_gzipped, tarred, zipped
from PIL import Image

from gristmill.spec.body import LARGE_BYTES
from gristmill.spec.errors import DamagedSource, RecipeError, Stopped, UsageError
from gristmill.spec.locator import Cell, Embedded, File, Locator, Member, Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Origin, Sample, Show, Turn
from gristmill.steps import acquirers
from gristmill.steps.media import Media
from gristmill.storage.archives import ArchiveSource


def picture(seed: int, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


BODIES = {f"train/{n}.png": picture(n) for n in range(5)}


def sample(row: int, *places: Locator, **facts) -> Sample:
    names = [f"{n:03d}" for n in range(len(places))]
    return Sample(
        key=f"k{row}",
        media={name: MediaRef(at=at, **facts) for name, at in zip(names, places, strict=True)},
        turns=(Turn(role="user", parts=tuple(Show(media=name) for name in names)),),
        origin=Origin(source="rows", file="a.jsonl", row=row),
    )


@pytest.fixture
def box():
    made = Box({})
    yield made
    for one in made.engines.values():
        one.close()
    if made.folder is not None:
        made.folder.cleanup()


def take(box: Box, *samples: Sample, **settings):
    return list(Media(**settings).apply(samples, box))


ARCHIVES = {
    "stored": lambda folder: [zipped(folder / "a.zip", BODIES, zipfile.ZIP_STORED)],
    "deflated": lambda folder: [zipped(folder / "a.zip", BODIES)],
    "tar": lambda folder: [tarred(folder / "a.tar", BODIES)],
    "tar.gz": lambda folder: [tar_gzipped(folder / "a.tar.gz", BODIES)],
    "folder": lambda folder: [foldered(folder / "tree", BODIES)],
    "two": lambda folder: [
        tarred(folder / f"{n}.tar", dict(list(BODIES.items())[n::2]), tarfile.PAX_FORMAT) for n in (0, 1)
    ],
}


def opened(paths: list[Path]) -> ArchiveSource:
    return ArchiveSource([indexed(path)[1] for path in paths])


@pytest.mark.parametrize("kind", ARCHIVES)
def test_members_come_as_they_are_from_any_kind_of_archive(kind, tmp_path, box):
    box.sources["coco"] = opened(ARCHIVES[kind](tmp_path))
    samples = [sample(n, Member("coco", name)) for n, name in enumerate(reversed(BODIES))]
    made = take(
        box, *samples, sample(9, Member("coco", "train/9.png")), sample(10, Member("coco", "../etc/hosts"))
    )
    for one, (name, body) in zip(made, reversed(BODIES.items()), strict=False):
        assert box.bodies[one.origin.row, "000.png"] == body
        ref = one.media["000.png"]
        assert ref.at == Member("coco", name)
        assert (ref.sha256, ref.size_bytes, ref.width_px) == (hashlib.sha256(body).hexdigest(), len(body), 30)
    assert [one.reason for one in made[5:]] == [Reason.NO_FILE] * 2
    assert box.fates[9, "000"].detail == "train/9.png is not in coco"


def test_damage_and_size_cost_the_member_alone(tmp_path, box):
    path = zipped(tmp_path / "a.zip", BODIES, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    at = whole.index(BODIES["train/1.png"]) + 40
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    box.sources["coco"] = opened([path])
    kept, damaged = take(box, *(sample(n, Member("coco", f"train/{n}.png")) for n in range(2)))
    assert isinstance(kept, Sample)
    assert damaged.reason is Reason.NO_FILE
    assert "checksum" in damaged.detail
    small = Box(box.engines)
    small.sources = box.sources
    (large,) = take(small, sample(0, Member("coco", "train/0.png")), max_body_bytes=100)
    assert large.reason is Reason.TOO_LARGE


def test_a_promised_hash_is_compared(tmp_path, box):
    box.sources["coco"] = opened([zipped(tmp_path / "a.zip", BODIES)])
    good = hashlib.md5(BODIES["train/0.png"]).hexdigest()
    places = [Member("coco", "train/0.png"), Member("coco", "train/1.png")]
    one, two = take(box, *(sample(n, at, expected_hash=f"md5:{good}") for n, at in enumerate(places)))
    assert isinstance(one, Sample)
    assert two.reason is Reason.HASH_MISMATCH


def parquet(folder: Path, bodies: list, rows: int = 2) -> dict[str, Path]:
    """Two files with small row groups; the picture lies at ``image.bytes`` and once more at ``a.b``."""
    files = {}
    for n, part in enumerate((bodies[:3], bodies[3:])):
        table = pa.table(
            {
                "id": list(range(len(part))),
                "image": pa.array([{"bytes": one, "path": ""} for one in part]),
                "a.b": pa.array(part, pa.binary()),
            }
        )
        files[f"{n}.parquet"] = folder / f"{n}.parquet"
        pq.write_table(table, files[f"{n}.parquet"], row_group_size=rows)
    return files


def test_cells_by_row_of_a_file_or_of_all_files(tmp_path, box):
    bodies = [*BODIES.values(), None, b""]
    box.sources["hub"] = SimpleNamespace(files=parquet(tmp_path, bodies))
    samples = [sample(n, Cell("hub", "image.bytes", n)) for n in range(8)]
    made = take(box, *samples)
    assert [box.bodies[n, "000.png"] for n in range(5)] == bodies[:5]
    assert [one.reason for one in made[5:]] == [Reason.NO_FILE, Reason.EMPTY, Reason.NO_FILE]
    again = [
        sample(20, Cell("hub", "a.b", 1, file="1.parquet"), Cell("hub", "a.b", 0)),
        sample(21, Cell("hub", "a.b", 4, file="1.parquet")),
        sample(22, Cell("hub", "a.b", 0, file="2.parquet")),
        sample(23, Cell("hub", "id", 0)),
        sample(24, Cell("hub", "a.b", -1)),
    ]
    kept, *lost = take(box, *again)
    assert [box.bodies[20, name] for name in kept.media] == [bodies[4], bodies[0]]
    assert [one.reason for one in lost] == [Reason.NO_FILE] * 4
    with pytest.raises(DamagedSource, match=r"0\.parquet: its column 'nothing'"):
        take(box, sample(30, Cell("hub", "nothing", 0)))


def test_files_below_the_root_alone(tmp_path, box):
    root = foldered(tmp_path / "root", BODIES)
    (tmp_path / "outside.png").write_bytes(picture(7))
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    box.sources["mine"] = SimpleNamespace(root=root)
    paths = [
        "train/3.png",
        "train/9.png",
        "../outside.png",
        str(tmp_path / "outside.png"),
        "link.png",
        "train",
        "a\0b",
    ]
    kept, *lost = take(box, *(sample(n, File("mine", path)) for n, path in enumerate(paths)))
    assert box.bodies[0, "000.png"] == BODIES["train/3.png"]
    assert kept.media["000.png"].at == File("mine", "train/3.png")
    assert [one.reason for one in lost] == [Reason.NO_FILE] * 6


def test_one_sample_may_have_media_of_several_kinds(tmp_path, box):
    box.sources["coco"] = opened([zipped(tmp_path / "a.zip", BODIES)])
    box.sources["mine"] = SimpleNamespace(root=foldered(tmp_path / "root", BODIES))
    text = base64.b64encode(BODIES["train/2.png"]).decode()
    (one,) = take(
        box,
        sample(
            0, File("mine", "train/1.png"), Member("coco", "train/0.png"), Embedded(text, "http://a.test")
        ),
    )
    assert [box.bodies[0, name] for name in one.media] == [BODIES[f"train/{n}.png"] for n in (1, 0, 2)]
    assert one.media["002.png"].at == Url("http://a.test")


def test_large_media_from_everywhere(tmp_path, box):
    """Above a few MiB bodies are files; what was written for them alone goes when it is delivered."""
    large = picture(5) + random.Random(1).randbytes(
        LARGE_BYTES
    )  # what stands behind a picture is its own affair
    box.sources["deflated"] = opened([zipped(tmp_path / "a.zip", {"a.png": large})])
    box.sources["packed"] = opened([tar_gzipped(tmp_path / "a.tar.gz", {"a.png": large})])
    box.sources["mine"] = SimpleNamespace(root=foldered(tmp_path / "root", {"a.png": large}))
    box.sources["hub"] = SimpleNamespace(files=parquet(tmp_path, [large, BODIES["train/1.png"]]))
    places = [
        Member("deflated", "a.png"),
        Member("packed", "a.png"),
        File("mine", "a.png"),
        Cell("hub", "image.bytes", 0),
    ]
    made = take(box, *(sample(n, at, expected_hash=f"md5:{md5(large)}") for n, at in enumerate(places)))
    assert [isinstance(one, Sample) for one in made] == [True] * 4
    assert all(box.bodies[n, "000.png"] == large for n in range(4))
    assert list(box.pointers) == [(0, "000.png")]
    assert not list(box.scratch().iterdir())


def test_a_flipped_bit_in_a_large_member_is_seen(tmp_path, box):
    large = picture(5) + bytes(LARGE_BYTES)
    path = zipped(tmp_path / "a.zip", {"a.png": large}, zipfile.ZIP_STORED)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    box.sources["coco"] = opened([path])
    (lost,) = take(box, sample(0, Member("coco", "a.png")))
    assert (lost.reason, box.bodies[0, "000"]) == (Reason.NO_FILE, None)
    assert "checksum" in lost.detail


def test_another_size_than_the_row_says_is_noted_or_drops_the_sample(tmp_path, box):
    """The pictures are 30 px wide and 20 px high; a size of which half is listed is not compared."""
    box.sources["mine"] = SimpleNamespace(root=foldered(tmp_path / "root", BODIES))
    sizes = [(30, 20), (60, 40), (20, 30), (31, None)]

    def samples():
        return [
            sample(n, File("mine", f"train/{n}.png"), expected_width_px=wide, expected_height_px=high)
            for n, (wide, high) in enumerate(sizes)
        ]

    kept = take(box, *samples())
    assert [one.columns.get("changes") for one in kept] == [
        None,
        ["size_differs_kept"],
        ["size_differs_kept"],
        None,
    ]
    first, *dropped, last = take(box, *samples(), size_differs="drop")
    assert isinstance(first, Sample)
    assert isinstance(last, Sample)
    assert [one.reason for one in dropped] == [Reason.SIZE_MISMATCH] * 2
    assert dropped[0].detail == "000.png: 60 x 40 said, 30 x 20 found"
    with pytest.raises(UsageError, match=r"media\.size_differs"):
        Media(size_differs="fix")


def test_it_stops_when_asked(tmp_path, box):
    box.sources["mine"] = SimpleNamespace(root=foldered(tmp_path / "root", BODIES))
    box.stop.set()
    with pytest.raises(Stopped):
        take(box, sample(0, File("mine", "train/1.png")))


@dataclass(frozen=True, slots=True)
class Shelf(Locator):
    """A place that the product knows nothing of."""

    place: int
    kind = "made_up_shelf"


def test_an_acquirer_is_one_file_and_nothing_else_is_edited(tmp_path, box, monkeypatch):
    (tmp_path / "made_up_shelf.py").write_text(
        "from gristmill.steps.acquirers import Acquired\n"
        "class Shelves:\n"
        "    async def acquire(self, wanted, deliver, box):\n"
        "        for number, at in wanted:\n"
        "            await deliver(number, Acquired(body=box.source('shelves')[at.place]))\n"
        "    async def close(self):\n"
        "        pass\n"
        "async def acquirer(step):\n"
        "    return Shelves()\n"
    )
    with pytest.raises(RecipeError, match="made_up_shelf"):
        take(box, sample(0, Shelf(2)))
    monkeypatch.setattr(acquirers, "__path__", [*acquirers.__path__, str(tmp_path)])
    box.sources["shelves"] = list(BODIES.values())
    kept, lost = take(box, sample(0, Shelf(2)), sample(1, Embedded("no")))
    assert box.bodies[0, "000.png"] == BODIES["train/2.png"]
    assert kept.media["000.png"].at == Shelf(2)
    assert isinstance(lost, Drop)
