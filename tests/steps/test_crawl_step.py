"""The crawl step over the made-up web: what it measures, refuses, names and does not ask twice."""

import hashlib

import cv2
import numpy as np
import pytest
from crawl_box import Box

from gristmill.spec.errors import Stopped, UsageError
from gristmill.spec.fate import Fate
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Origin, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.taking import distance


@pytest.fixture
def crawl(engines, web):
    web.forget()

    def crawl(*samples: Sample, done=None, **settings):
        box = Box(engines, done)
        step = Crawl(allow_private_addresses=True, **settings)
        return list(step.apply(samples, box)), box

    return crawl


def sample(row: int, url: str | None, name: str = "image", **facts) -> Sample:
    return Sample(
        key=f"key-{row}",
        media={name: MediaRef(at=None if url is None else Url(url), **facts)},
        turns=(Turn(role="caption", parts=(Show(media=name), Text(text="a caption"))),),
        origin=Origin(source="list", file="list.parquet", row=row),
    )


def size_of(body: bytes) -> tuple[int, int]:
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels.shape[1], pixels.shape[0]


def test_no_md5_is_taken_where_none_is_wanted(crawl, web):
    (kept,), box = crawl(sample(3, web.url("/photo/5.jpg?w=400")), md5=False)
    assert kept.media["jpg"].md5 is None is box.fates[3, "jpg"].md5
    assert kept.media["jpg"].sha256


def test_facts_are_those_of_what_came_and_of_what_is_stored(crawl, web):
    picture = web.pictures.get(5, "jpg", 800)
    (kept,), box = crawl(sample(3, web.url("/photo/5.jpg?w=800"), expected_phash=picture.phash))
    ref, body, fate = kept.media["jpg"], box.bodies[3, "jpg"], box.fates[3, "jpg"]
    assert ref.sha256 == hashlib.sha256(picture.data).hexdigest()
    assert ref.md5 == hashlib.md5(picture.data).hexdigest()
    assert ref.raw_bytes == len(picture.data)
    assert (ref.original_width_px, ref.original_height_px) == (picture.width, picture.height)
    assert (ref.original_mime, ref.mime) == ("image/jpeg", "image/jpeg")
    assert ref.size_bytes == len(body)
    assert (ref.width_px, ref.height_px) == size_of(body)
    assert min(ref.width_px, ref.height_px) == 336
    longer = max(picture.width, picture.height) * 336 // min(picture.width, picture.height)
    assert max(ref.width_px, ref.height_px) == longer
    assert 0 <= ref.phash_distance <= 4
    assert (fate.status, fate.tries, fate.reason, fate.key) == (200, 1, None, "key-3")
    assert box.progressed[-1] == (1, {}, len(picture.data))


def test_small_pictures_are_not_enlarged(crawl, web):
    (kept,), _ = crawl(sample(0, web.url("/photo/5.jpg?w=200")))
    assert kept.media["jpg"].width_px == kept.media["jpg"].original_width_px == 200


def test_the_distance_is_measured_and_no_reason_to_drop(crawl, web):
    true = web.pictures.get(5, "jpg", 400).phash
    inverted = f"{int(true, 16) ^ (2**64 - 1):016x}"
    url = web.url("/photo/5.jpg?w=400")
    expected = [true, inverted, "abc", true + "00", "not hexadecimal!", "", None]
    kept, _ = crawl(*(sample(n, url, expected_phash=text) for n, text in enumerate(expected)))
    distances = [one.media["jpg"].phash_distance for one in kept]
    assert distances[0] <= 4
    assert distances[1] == 64 - distances[0]
    assert distances[2:] == [None] * 5
    assert len({one.media["jpg"].phash for one in kept}) == 1


def test_dropping_by_distance_is_a_setting(crawl, web):
    true = web.pictures.get(5, "jpg", 400).phash
    other = web.pictures.get(6, "jpg", 400).phash
    url = web.url("/photo/5.jpg?w=400")
    outcomes, box = crawl(
        sample(0, url, expected_phash=true),
        sample(1, url, expected_phash=other),
        sample(2, url),
        max_phash_distance=8,
    )
    assert isinstance(outcomes[0], Sample)
    assert outcomes[1].reason == Reason.PHASH_MISMATCH
    assert isinstance(outcomes[2], Sample)
    assert box.bodies[1, "jpg"] is None
    assert box.fates[1, "jpg"].phash_distance > 8
    assert box.fates[1, "jpg"].sha256


def test_a_promised_hash_is_checked(crawl, web):
    url, data = web.url("/photo/9.jpg?w=200"), web.pictures.get(9, "jpg", 200).data
    digests = {kind: hashlib.new(kind, data).hexdigest() for kind in ("sha256", "md5", "sha512")}
    good = [f"{kind}:{digest}" for kind, digest in digests.items()] + [f"SHA256:{digests['sha256'].upper()}"]
    bad = [f"sha256:{'0' * 64}", f"md5:{digests['sha256']}", "sha256:"]
    outcomes, box = crawl(*(sample(n, url, expected_hash=text) for n, text in enumerate([*good, *bad])))
    assert [isinstance(outcome, Sample) for outcome in outcomes] == [True] * 4 + [False] * 3
    assert {outcome.reason for outcome in outcomes[4:]} == {Reason.HASH_MISMATCH}
    assert digests["sha256"] in outcomes[4].detail
    assert [box.bodies[n, "jpg"] is None for n in range(7)] == [False] * 4 + [True] * 3


def test_a_url_is_asked_for_once_and_each_row_has_its_fate(crawl, web):
    path = "/photo/11.jpg?w=200&n=twice"
    rows = [sample(n, web.url(path)) for n in (4, 7, 9)] + [sample(12, web.url("/fault/404/x"))] * 1
    rows.append(sample(13, web.url("/fault/404/x")))
    outcomes, box = crawl(*rows)
    assert web.hits == {path: 1, "/fault/404/x": 1}
    assert [o.key if isinstance(o, Sample) else o.reason for o in outcomes] == [
        "key-4",
        "key-7",
        "key-9",
        Reason.HTTP_404,
        Reason.HTTP_404,
    ]
    assert sorted(row for row, _ in box.fates) == [4, 7, 9, 12, 13]
    assert box.bodies[4, "jpg"] == box.bodies[9, "jpg"] != b""
    assert {fate.key for fate in box.fates.values()} == {f"key-{n}" for n in (4, 7, 9, 12, 13)}
    assert box.progressed[-1][:2] == (5, {"http_404": 2})


def test_outcomes_come_in_order_whatever_ends_first(crawl, web):
    urls = [
        web.url("/fault/5xx-heals/1", 1),
        web.url("/photo/1.jpg?w=200"),
        None,
        "ftp://127.0.0.1/a.jpg",
        web.url("/fault/html/1", 2),
        web.url("/photo/2.jpg?w=200"),
    ]
    outcomes, box = crawl(*(sample(n, url) for n, url in enumerate(urls)))
    assert [o.reason if isinstance(o, Drop) else o.key for o in outcomes] == [
        "key-0",
        "key-1",
        Reason.BAD_URL,
        Reason.BAD_SCHEME,
        Reason.NOT_AN_IMAGE,
        "key-5",
    ]
    assert box.fates[0, "jpg"].tries == 3
    assert box.fates[4, "jpg"].sha256


def test_originals_are_kept_where_they_fit(crawl, web):
    paths = ["/photo/3.jpg?w=200", "/photo/3.jpg?w=1024", "/photo/3.png?w=200"]
    kept, box = crawl(*(sample(n, web.url(path)) for n, path in enumerate(paths)), keep_original=True)
    assert box.bodies[0, "jpg"] == web.pictures.get(3, "jpg", 200).data
    assert min(size_of(box.bodies[1, "jpg"])) == 336
    assert box.bodies[2, "jpg"][:2] == b"\xff\xd8"
    assert [one.media["jpg"].original_mime for one in kept] == ["image/jpeg", "image/jpeg", "image/png"]


@pytest.mark.parametrize(("form", "ending"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp")])
def test_parts_are_named_after_what_is_stored(crawl, web, form, ending):
    url = web.url("/photo/3.jpg?w=64")
    several = Sample(
        key="several",
        media={"000": MediaRef(at=Url(url)), "001": MediaRef(at=Url(url))},
        turns=(
            Turn(
                role="user", parts=(Show(media="001"), Text(text="?"), Show(media="000", box_px=(0, 0, 1, 1)))
            ),
        ),
        origin=Origin(source="list", file="list.parquet", row=1),
    )
    (one, two), box = crawl(sample(0, url), several, format=form)
    assert list(one.media) == [ending]
    assert list(two.media) == [f"000.{ending}", f"001.{ending}"]
    assert one.turns[0].parts[0] == Show(media=ending)
    assert two.turns[0].parts == (
        Show(media=f"001.{ending}"),
        Text(text="?"),
        Show(media=f"000.{ending}", box_px=(0, 0, 1, 1)),
    )
    assert two.media[f"000.{ending}"].mime == f"image/{form}"
    assert set(box.bodies) == {(0, ending), (1, f"000.{ending}"), (1, f"001.{ending}")}
    assert web.hits.total() == 1


def test_a_sample_with_a_medium_that_fails_is_dropped_for_its_reason(crawl, web):
    two = Sample(
        key="two",
        media={
            "000": MediaRef(at=Url(web.url("/photo/3.jpg?w=64"))),
            "001": MediaRef(at=Url(web.url("/fault/410/1"))),
        },
        origin=Origin(source="list", file="list.parquet", row=0),
    )
    (outcome,), box = crawl(two)
    assert outcome.reason == Reason.HTTP_410
    assert [box.fates[0, name].reason for name in ("000.jpg", "001.jpg")] == [None, Reason.HTTP_410]


def test_what_an_interrupted_run_finished_is_not_asked_for_again(crawl, web):
    urls = [web.url(f"/photo/{n}.jpg?w=64") for n in range(3)]
    done = {
        (0, "jpg"): Fate(row=0, medium="jpg", sha256="ab", width_px=64, size_bytes=5, raw_bytes=9),
        (1, "jpg"): Fate(row=1, medium="jpg", reason=Reason.HTTP_404),
    }
    outcomes, box = crawl(*(sample(n, url) for n, url in enumerate(urls)), done=done)
    assert web.hits == {"/photo/2.jpg?w=64": 1}
    assert outcomes[0].media["jpg"].sha256 == "ab"
    assert outcomes[0].media["jpg"].width_px == 64
    assert outcomes[1].reason == Reason.HTTP_404
    assert isinstance(outcomes[2], Sample)
    assert box.progressed[-1][:2] == (3, {"http_404": 1})


def test_a_stop_is_an_exception_and_keeps_what_is_finished(engines, web):
    box = Box(engines)
    box.stop.set()
    step = Crawl(allow_private_addresses=True)
    with pytest.raises(Stopped):
        list(step.apply([sample(0, web.url("/photo/1.jpg?w=64"))], box))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_phash_distance": 65},
        {"max_phash_distance": -1},
        {"size_px": 0},
        {"tries": 0},
        {"contact": "a\nb"},
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_moves(settings):
    with pytest.raises(UsageError, match="|".join(settings)):
        Crawl(**settings)


def test_distance_of_hashes():
    assert distance("00" * 8, "ff" * 8) == 64
    assert distance("00" * 8, "00" * 7 + "03") == 2
    assert distance("00" * 8, "0" * 15) is None
    assert distance("00" * 8, "g" * 16) is None
