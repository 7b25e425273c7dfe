"""Addresses on Wikimedia's servers: of originals by their names, and of thumbnails in widths that there are."""

import pytest

from gristmill.spec.errors import UsageError
from gristmill.spec.locator import Url
from gristmill.spec.sample import MediaRef, Sample
from gristmill.steps.wikimedia import WIDTHS_PX, WIKIMEDIA, WikimediaThumbnails, original_url

HOST = "https://upload.wikimedia.org/wikipedia"


def asked(url: str, width: int | None, **settings) -> str:
    sample = Sample(key="a", media={"000": MediaRef(at=Url(url), expected_width_px=width)})
    return WikimediaThumbnails(**settings).apply(sample).media["000"].url


@pytest.mark.parametrize(
    ("name", "folders", "written"),
    [
        ("MGS_logo.JPG", "0/04", "MGS_logo.JPG"),
        ("noctilio albiventris.jpg", "0/07", "Noctilio_albiventris.jpg"),
        ("Coin_of_Ukraine_1-2-5_r.jpg", "f/f9", "Coin_of_Ukraine_1-2-5_r.jpg"),
        ("Sonde%C3%A9 map.svg", "d/d3", "Sonde%C3%A9_map.svg"),
    ],
)
def test_an_original_is_found_by_its_name(name, folders, written):
    assert original_url(name) == f"{HOST}/commons/{folders}/{written}"
    assert original_url(name, "en") == f"{HOST}/en/{folders}/{written}"


@pytest.mark.parametrize(
    ("url", "width", "thumbnail"),
    [
        (f"{HOST}/commons/a/ab/A.jpg", 3000, f"{HOST}/commons/thumb/a/ab/A.jpg/960px-A.jpg"),
        (f"http{HOST[5:]}/en/a/ab/A.PNG", 961, f"{HOST}/en/thumb/a/ab/A.PNG/960px-A.PNG"),
        (f"{HOST}/commons/a/ab/A.jpg", 960, None),
        (f"{HOST}/commons/a/ab/A.jpg", None, None),
        (f"{HOST}/commons/a/ab/A.gif", 3000, None),
        (f"{HOST}/commons/a/ab/A.svg", 100, f"{HOST}/commons/thumb/a/ab/A.svg/960px-A.svg.png"),
        (f"{HOST}/commons/a/ab/A.tif", None, f"{HOST}/commons/thumb/a/ab/A.tif/lossy-page1-960px-A.tif.jpg"),
        (f"{HOST}/commons/a/ab/A.tif", 300, f"{HOST}/commons/thumb/a/ab/A.tif/lossy-page1-250px-A.tif.jpg"),
        (f"{HOST}/commons/thumb/a/ab/A.jpg/300px-A.jpg", 3000, None),
        ("https://a.example/commons/a/ab/A.jpg", 3000, None),
    ],
)
def test_a_wider_picture_is_asked_for_as_a_thumbnail(url, width, thumbnail):
    assert asked(url, width) == (thumbnail or url)
    assert asked(url, width, width_px=0) == url
    assert WIKIMEDIA.fitted(asked(url, width)) == (thumbnail or url).replace("300px", "330px")


def test_a_thumbnail_of_a_very_long_name_has_a_short_one():
    name = "%C3%A9" * 90 + ".jpg"
    assert asked(f"{HOST}/commons/a/ab/{name}", 3000).endswith(f"/{name}/960px-thumbnail.jpg")


def test_only_published_widths_are_set():
    assert WikimediaThumbnails(width_px=WIDTHS_PX[-1]).width_px == 3840
    with pytest.raises(UsageError, match=r"thumbnails\.width_px=800: expected 0 or one of 20, 40"):
        WikimediaThumbnails(width_px=800)
