"""Folders of frames: one body in the order of their numbers, from whatever they lie in; every fault told."""

import asyncio
import io
import random
from types import SimpleNamespace

import pytest
from crawl_box import Box
from made import foldered, indexed, tar_gzipped, tarred, zipped
from PIL import Image

from gristmill.spec.body import LARGE_BYTES, bytes_of
from gristmill.spec.locator import Frames
from gristmill.spec.reasons import Reason
from gristmill.steps.acquirers import acquirer_of, places_of
from gristmill.storage.archives import ArchiveSource


def jpeg(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 8), (number % 256, 0, 0)).save(out, "JPEG")
    return out.getvalue()


FRAMES = [jpeg(n) for n in range(1, 13)]
WHOLE = b"".join(FRAMES)


def folder(name: str, numbers=range(1, 13), form: str = "c01_{:04d}.jpeg") -> dict[str, bytes]:
    return {f"./{name}/{form.format(n)}": FRAMES[n - 1] for n in numbers}


def brought(tmp_path, places, *wanted, most_bytes=1 << 30):
    """What becomes of folders of a source, in the order in which it was delivered."""
    source = ArchiveSource(
        [indexed(place, at=tmp_path / f"{n}.parquet")[1] for n, place in enumerate(places)]
    )
    box, got = Box({}), {}
    box.sources["frames"] = source
    step = SimpleNamespace(max_body_bytes=most_bytes, codecs=1)

    async def deliver(number, acquired):
        body = None if acquired.body is None else bytes_of(acquired.body)
        got[wanted[number]] = (body, acquired.reason, acquired.detail or acquired.told.get("detail", ""))
        return ()

    async def run():
        acquirer = await acquirer_of("frames", step)
        at = [(number, Frames("frames", name)) for number, name in enumerate(wanted)]
        await acquirer.acquire(at, deliver, box)
        await acquirer.close()

    asyncio.run(run())
    left = list(box.scratch().iterdir())
    box.folder.cleanup()
    assert left == []
    return got


@pytest.mark.parametrize("make", [tarred, tar_gzipped, zipped, foldered])
def test_frames_of_a_folder_are_one_body_in_the_order_of_their_numbers(make, tmp_path):
    shuffled = list({**folder("-a_B"), **folder("v", form="f{}.JPG"), **folder("v2", [2, 1])}.items())
    random.Random(0).shuffle(shuffled)
    place = make(tmp_path / "a", {**dict(shuffled), "./v/notes.txt": b"no frame", "./readme": b""})
    got = brought(tmp_path, [place], "v", "gone", "-a_B", "v2")
    assert got == {
        "v": (WHOLE, None, ""),
        "-a_B": (WHOLE, None, ""),
        "v2": (FRAMES[0] + FRAMES[1], None, ""),
        "gone": (None, Reason.NO_FILE, "gone/ is not in frames"),
    }


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1, 2, 3], ""),
        ([2, 4, 6, 8], ""),  # every second was kept
        ([1, 2, 5, 6, 8], "frames that are missing by their numbers: 3-4, 7"),
        ([4, 5, 6], "frames that are missing by their numbers: 1-3"),
        ([7], "frames that are missing by their numbers: 1-6"),
    ],
)
def test_missing_numbers_are_told_and_cost_nothing(numbers, said, tmp_path):
    got = brought(tmp_path, [tarred(tmp_path / "a.tar", folder("v", numbers))], "v")
    assert got == {"v": (b"".join(FRAMES[n - 1] for n in numbers), None, said)}


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"<!doctype html>", Reason.NOT_AN_IMAGE),
        (FRAMES[0][:-9], Reason.TRUNCATED),
    ],
)
def test_a_frame_that_is_no_whole_jpeg_costs_its_video_alone(frame, reason, tmp_path):
    files = {**folder("bad"), "./bad/c01_0003.jpeg": frame, **folder("good")}
    got = brought(tmp_path, [tar_gzipped(tmp_path / "a.tar.gz", files)], "bad", "good")
    assert got["good"] == (WHOLE, None, "")
    assert got["bad"][:2] == (None, reason)
    assert "bad/c01_0003.jpeg" in got["bad"][2]


def test_a_damaged_member_costs_its_video_alone(tmp_path):
    place = zipped(tmp_path / "a.zip", {**folder("bad"), **folder("good")}, 0)
    place.write_bytes(place.read_bytes().replace(FRAMES[2], FRAMES[2][:30] + b"??" + FRAMES[2][32:], 1))
    got = brought(tmp_path, [place], "bad", "good")
    assert got["good"] == (WHOLE, None, "")
    assert got["bad"][:2] == (None, Reason.NO_FILE)


def test_frames_that_lie_in_several_archives_are_told(tmp_path):
    places = [
        tar_gzipped(tmp_path / f"{n}.tar.gz", folder("v", numbers))
        for n, numbers in enumerate(([1, 3], [2, 4]))
    ]
    body, reason, said = brought(tmp_path, places, "v")["v"]
    assert (body, reason, said) == (b"".join(FRAMES[:4]), None, "its frames lie in 2 archives")


def test_a_large_video_goes_through_a_file_and_too_large_a_one_is_refused(tmp_path):
    large = b"\xff\xd8\xff" + random.Random(0).randbytes(LARGE_BYTES) + b"\xff\xd9"
    files = {"v/2.jpg": FRAMES[1], "v/1.jpg": large, "v/10.jpg": FRAMES[9], "v/9.jpg": FRAMES[8]}
    place = tar_gzipped(tmp_path / "a.tar.gz", files)
    body, reason, said = brought(tmp_path, [place], "v")["v"]
    assert (body == large + FRAMES[1] + FRAMES[8] + FRAMES[9], reason) == (True, None)
    assert said == "frames that are missing by their numbers: 3-8"
    got = brought(tmp_path, [place], "v", most_bytes=LARGE_BYTES)
    assert got["v"][1] == Reason.TOO_LARGE


def test_a_folder_without_a_jpeg_is_none(tmp_path):
    got = brought(tmp_path, [foldered(tmp_path / "a", {"v/a.png": b"x", "v/b.png": b"x"})], "v")
    assert got["v"][:2] == (None, Reason.NO_FILE)
    assert "holds 2 files, such as v/a.png, and no JPEG" in got["v"][2]


def test_folders_are_read_in_the_order_in_which_they_lie(tmp_path):
    places = [
        tar_gzipped(
            tmp_path / f"{n}.tar.gz", {k: v for name in names for k, v in folder(name, [1, 2]).items()}
        )
        for n, names in enumerate((["z", "a"], ["m", "b"]))
    ]
    wanted = ("a", "b", "gone", "m", "z")
    got = brought(tmp_path, places, *wanted)
    assert [name for name in got if name != "gone"] == ["z", "a", "m", "b"]
    source = ArchiveSource([indexed(place)[1] for place in places])
    found = places_of("frames", source, [Frames("frames", name) for name in wanted])
    assert found[2] is None
    assert sorted(wanted, key=lambda name: found[wanted.index(name)] or (9, 0)) == [
        "z",
        "a",
        "m",
        "b",
        "gone",
    ]
