"""Rows of any list, as its description reads them."""

import pytest

from gristmill.recipes._command_crawl import build as url_list
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop
from gristmill.steps.spread import ELEMENT, LIST_ROW

HEX = "9e107d9d372bb6826bd81d3542a419d6"


def parsed(row, **said):
    return url_list("list.jsonl", **said).parse({"url": "http://a.example/", **row})


@pytest.mark.parametrize(
    ("captions", "value", "text"),
    [
        (None, "one", "one"),
        (None, None, ""),
        ("first", "one", "one"),
        ("first", ["", None, "two", "three"], "two"),
        ("first", [], ""),
        ("joined", ["one", "", None, b"two"], "one\ntwo"),
        ("joined", None, ""),
    ],
)
def test_captions(captions, value, text):
    assert parsed({"text": value}, caption_column="text", captions=captions).text() == text


@pytest.mark.parametrize(
    ("captions", "value"),
    [
        (None, ["one"]),
        (None, 7),
        (None, {"en": "one"}),
        (None, b"\xff"),
        ("first", [7, "one"]),
        ("joined", ["one", ["two"]]),
        ("first", {"0": "one"}),
        ("joined", False),
    ],
)
def test_what_is_no_text_is_a_counted_drop(captions, value):
    found = parsed({"text": value}, caption_column="text", captions=captions)
    assert isinstance(found, Drop)
    assert found.reason is Reason.BAD_ROW
    assert "'text' is no text: " in found.detail


def test_a_sample_of_each_caption_says_which_it_is():
    row = {"said": [{"raw": "one"}, {"raw": "two"}], ELEMENT: 1, LIST_ROW: 5}
    found = parsed(row, caption_column="said.raw", captions="each")
    assert (found.text(), dict(found.columns)) == ("two", {"list_row": 5, "caption_number": 1})
    assert url_list("a", caption_column="said.raw", captions="each").steps[0].each == "said.raw"


@pytest.mark.parametrize(("value", "expected"), [(HEX, f"md5:{HEX}"), (f"MD5:{HEX.upper()} ", f"md5:{HEX}")])
def test_checksums(value, expected):
    assert parsed({"md5": value}, hash_column="md5", hash_kind="md5").media["image"].expected_hash == expected


def test_no_checksum_and_what_can_be_none():
    said = {"hash_column": "md5", "hash_kind": "md5"}
    assert {parsed({"md5": no}, **said).media["image"].expected_hash for no in (None, " ", "nan")} == {None}
    for odd in ("abc", 12, HEX * 2):
        assert parsed({"md5": odd}, **said).reason is Reason.BAD_ROW
