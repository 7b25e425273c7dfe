"""Pictures out of Base64: original bytes, true extensions, and every fault with its reason."""

import asyncio
import base64
import hashlib
import io
from collections import Counter
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gristmill.media.errors import Undecodable
from gristmill.media.transcoded import Transcoded
from gristmill.spec import locator
from gristmill.spec.errors import MachineError, Stopped, UsageError
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Origin, Sample, Show, Text, Turn
from gristmill.steps.embedded import DecodeEmbedded
from gristmill.steps.transcoders import image


def picture(form: str = "JPEG", size: tuple[int, int] = (40, 30), seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def text_of(body: bytes) -> str:
    return base64.b64encode(body).decode()


class Box:
    """A :class:`gristmill.spec.step.MediaContext` in memory."""

    def __init__(self) -> None:
        self.stop, self.grace_s, self.attempt = Event(), 0.3, 0
        self.fates: dict[tuple[int, str], Fate] = {}
        self.bodies: dict[tuple[int, str], bytes] = {}
        self.engines: dict[object, object] = {}
        self.stored = 0
        self.told: list[tuple[int, dict[str, int]]] = []

    def done(self):
        return dict(self.fates)

    def store(self, fate, body, pointer=None, pieces=()):
        self.stored += 1
        self.fates[fate.row, fate.medium] = fate
        if body is not None:
            self.bodies[fate.row, fate.medium] = body

    def progress(self, done, reasons, bytes_in):
        self.told.append((done, dict(reasons)))

    def resource(self, key, make):
        if key not in self.engines:
            self.engines[key] = make()
        return self.engines[key]


@pytest.fixture
def box():
    made = Box()
    yield made
    for engine in made.engines.values():
        engine.close()


def sample(row: int, *texts: str) -> Sample:
    names = [f"{n:03d}" for n in range(len(texts))]
    parts = (*(Show(media=name) for name in names), Text(text="What?"))
    return Sample(
        key=f"k{row}",
        media={name: MediaRef(at=locator.Embedded(text)) for name, text in zip(names, texts, strict=True)},
        turns=(Turn(role="user", parts=parts), Turn(role="assistant", parts=(Text(text="A dog."),))),
        origin=Origin(source="annotations", file="a.jsonl", row=row),
    )


def test_bytes_are_the_original_ones_and_names_tell_the_format(box):
    forms = {
        "JPEG": "jpg",
        "PNG": "png",
        "WEBP": "webp",
        "GIF": "gif",
        "BMP": "bmp",
        "TIFF": "tiff",
        "AVIF": "avif",
    }
    bodies = {form: picture(form) for form in forms}
    samples = [sample(n, text_of(body)) for n, body in enumerate(bodies.values())]
    for made, (form, body) in zip(DecodeEmbedded().apply(samples, box), bodies.items(), strict=True):
        name = f"000.{forms[form]}"
        assert list(made.media) == [name]
        ref = made.media[name]
        assert ref.at is None
        assert ref.sha256 == hashlib.sha256(body).hexdigest()
        assert (ref.width_px, ref.height_px, ref.size_bytes, ref.raw_bytes) == (40, 30, len(body), len(body))
        assert ref.mime == f"image/{form.lower()}"
        assert made.turns[0].parts[0] == Show(media=name)
        assert box.bodies[made.origin.row, name] == body


def test_a_data_url_and_broken_lines_are_base64_too(box):
    body = picture()
    wrapped = base64.encodebytes(body).decode()
    samples = [sample(0, f"data:image/jpeg;base64,{text_of(body)}"), sample(1, wrapped)]
    for made in DecodeEmbedded().apply(samples, box):
        assert made.media["000.jpg"].sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("*not base64*", Reason.BAD_BASE64),
        ("abcde", Reason.BAD_BASE64),
        ("QUJD=QUJD", Reason.BAD_BASE64),
        ("pic\u00e9ture", Reason.BAD_BASE64),
        ("", Reason.EMPTY),
        (text_of(b"<html>no</html>"), Reason.NOT_AN_IMAGE),
        (text_of(picture()[:700]), Reason.TRUNCATED),
        (text_of(picture("PNG")[:900]), Reason.TRUNCATED),
        (text_of(b"\x89PNG\r\n\x1a\n" + b"\0" * 64), Reason.UNDECODABLE),
        (text_of(b"8BPS" + b"\0" * 64), Reason.UNSUPPORTED),
        ("A" * 9000, Reason.TOO_LARGE),
    ],
)
def test_faults_have_reasons_and_take_the_sample_with_them(box, text, reason):
    step = DecodeEmbedded(max_body_bytes=6000)
    good, bad = step.apply([sample(0, text_of(picture())), sample(1, text_of(picture()), text)], box)
    assert isinstance(good, Sample)
    assert isinstance(bad, Drop)
    assert bad.reason is reason
    assert bad.detail.startswith("001")
    assert box.fates[1, "001"].reason is reason
    assert (1, "001") not in box.bodies


def test_a_damaged_scan_is_found_without_decoding_in_full(box):
    body = bytearray(picture(size=(400, 300)))
    body[len(body) // 2 : len(body) // 2 + 60] = b"\xff\xd9" * 30
    (made,) = DecodeEmbedded().apply([sample(0, text_of(bytes(body)))], box)
    assert isinstance(made, Drop)
    assert made.reason in {Reason.TRUNCATED, Reason.UNDECODABLE}


def test_a_picture_of_many_rows_is_decoded_once_and_each_row_hears_of_it(box, monkeypatch):
    asked: Counter[bytes] = Counter()
    transcode = image.CodecPool.transcode

    async def counted(pool: Any, body: bytes) -> Transcoded:
        asked[body] += 1
        await asyncio.sleep(
            0.02
        )  # so that the next rows with the same picture come while this one is in work
        return await transcode(pool, body)

    monkeypatch.setattr(image.CodecPool, "transcode", counted)
    good, bad = picture(), picture()[:-40]
    outcomes = list(
        DecodeEmbedded().apply([sample(n, text_of(bad if n % 2 else good)) for n in range(12)], box)
    )
    assert asked == {good: 1, bad: 1}
    assert [isinstance(outcome, Drop) for outcome in outcomes] == [False, True] * 6
    assert {fate.reason for (row, _), fate in box.fates.items() if row % 2} == {Reason.TRUNCATED}


@pytest.mark.parametrize("error", [Undecodable(Reason.DECODER_TIMEOUT), MachineError("no processes")])
def test_what_may_be_of_the_moment_is_asked_again(box, monkeypatch, error):
    answers: list[Exception] = [error]
    transcode = image.CodecPool.transcode

    async def moody(pool: Any, body: bytes) -> Transcoded:
        if answers:
            raise answers.pop()
        return await transcode(pool, body)

    monkeypatch.setattr(image.CodecPool, "transcode", moody)
    rows = [sample(n, text_of(picture())) for n in range(2)]
    if isinstance(error, MachineError):
        with pytest.raises(MachineError, match="no processes"):
            list(DecodeEmbedded().apply(rows[:1], box))
    else:
        (dropped,) = DecodeEmbedded().apply(rows[:1], box)
        assert isinstance(dropped, Drop)
    (kept,) = DecodeEmbedded().apply(rows[1:], box)
    assert isinstance(kept, Sample)


def test_too_many_pixels(box):
    (made,) = DecodeEmbedded(max_pixels=1000).apply([sample(0, text_of(picture()))], box)
    assert made.reason is Reason.TOO_MANY_PIXELS


def test_many_frames_in_order_or_eight_of_them(box):
    frames = [picture(seed=n) for n in range(10)]
    given = sample(0, *map(text_of, frames))
    (all_of_them,) = DecodeEmbedded().apply([given], box)
    assert [box.bodies[0, name] for name in all_of_them.media] == frames
    assert all_of_them.columns == {}
    other = Box()
    other.engines = box.engines
    (eight,) = DecodeEmbedded(max_images=8).apply([given], other)
    kept = [frames[n] for n in (0, 1, 2, 3, 5, 6, 7, 9)]
    assert list(eight.media) == [f"{n:03d}.jpg" for n in range(8)]
    assert [other.bodies[0, name] for name in eight.media] == kept
    assert [part.media for part in eight.turns[0].parts[:-1]] == list(eight.media)
    assert eight.columns == {"images_upstream": 10}


def test_what_is_finished_is_not_decoded_again(box):
    samples = [sample(n, text_of(picture(seed=n)), "no") for n in range(3)]
    first = list(DecodeEmbedded().apply(samples, box))
    assert box.stored == 6
    assert list(DecodeEmbedded().apply(samples, box)) == first
    assert box.stored == 6


def test_progress_counts_samples_and_begins_with_what_was_finished_before(box):
    texts = text_of(picture()), text_of(picture(seed=1))
    samples = [sample(n, *texts) for n in range(8)]
    list(DecodeEmbedded().apply(samples, box))
    assert (box.told[0], box.told[-1]) == ((0, {}), (8, {}))  # sixteen pictures
    told = len(box.told)
    list(DecodeEmbedded().apply([*samples, sample(8, "no")], box))
    list(DecodeEmbedded().apply([*samples, sample(8, "no")], box))
    assert (box.told[told], box.told[-1]) == ((8, {}), (9, {"bad_base64": 1}))


def test_it_stops_when_asked(box):
    box.stop.set()
    samples = [sample(n, text_of(picture())) for n in range(40)]
    with pytest.raises(Stopped):
        list(DecodeEmbedded().apply(samples, box))
    assert box.stored < 40


def test_encoding_anew_is_a_setting(box):
    (made,) = DecodeEmbedded(encode="webp", size_px=16).apply(
        [sample(0, text_of(picture("PNG", (80, 40))))], box
    )
    ref = made.media["000.webp"]
    assert (ref.width_px, ref.height_px) == (32, 16)
    assert (ref.original_width_px, ref.original_mime) == (80, "image/png")
    assert Image.open(io.BytesIO(box.bodies[0, "000.webp"])).size == (32, 16)
    with pytest.raises(UsageError, match=r"embedded\.encode"):
        DecodeEmbedded(encode="gif")


def test_a_sample_without_pictures_passes(box):
    given = Sample(key="a", turns=(Turn(role="user", parts=(Text(text="?"),)),))
    assert list(DecodeEmbedded().apply([given], box)) == [given]
