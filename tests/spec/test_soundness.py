"""What a recipe returns is looked at where it returns: each field, by name."""

from dataclasses import replace

import pytest

from gristmill.spec.cut import Cut
from gristmill.spec.locator import Cell, Embedded, Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Sample, Show, Text, Turn
from gristmill.spec.soundness import fault_of

GOOD = Sample(
    key="a/b 1",
    media={
        "image": MediaRef(at=Url("http://a.test/"), expected_width_px=3),
        "000": MediaRef(at=Embedded("AA=="), cut=Cut(start_s=1, end_s=2), name="a_1_2.mp4", start_s=0.5),
    },
    turns=(
        Turn(role="user", parts=(Show(media="000", start_s=1, box_px=(0, 0, 1, 1)), Text(text="\ud800"))),
    ),
    columns={"score": object(), "changes": ["word"]},
)


def media(**given):
    return {"media": {"image": MediaRef(**given)}, "turns": ()}


def turn(part):
    return {"turns": (Turn(role="user", parts=(part,)),)}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"key": 7}, "key is 7 (int), expected text"),
        ({"key": b"k"}, "key is b'k' (bytes)"),
        ({"key": "a.b"}, "key is 'a.b' (str), expected printable ASCII"),
        ({"key": "a//b"}, "key"),
        ({"key": "é"}, "key is '\\xe9'"),
        ({"key": "a\n"}, "key"),
        ({"key": "k" * 92}, "key"),
        ({"media": None, "turns": ()}, "media is None"),
        ({"media": {"image": "http://a.test/"}, "turns": ()}, "media['image'] is 'http://a.test/' (str)"),
        ({"media": {"a.jpg": MediaRef()}, "turns": ()}, "a name in media is 'a.jpg'"),
        ({"media": {"a/b": MediaRef()}, "turns": ()}, "a name in media"),
        ({"media": {0: MediaRef()}, "turns": ()}, "a name in media is 0 (int)"),
        ({"media": {"": MediaRef()}, "turns": ()}, "a name in media"),
        (media(at="http://a.test/"), "media['image'].at is 'http"),
        (media(at=Url(b"http://a.test/")), "media['image'].at.url is b'http"),
        (media(at=Cell("a", "b", 1.5)), "media['image'].at.row is 1.5 (float), expected a whole number"),
        (media(at=Url(4.5)), "media['image'].at.url is 4.5 (float), expected text"),
        (media(at=Embedded(b"\0")), "media['image'].at.text"),
        (media(expected_hash=5), "media['image'].expected_hash"),
        (media(expected_width_px="5"), "media['image'].expected_width_px is '5' (str), expected a number"),
        (media(cut=(1, 2)), "media['image'].cut is (1, 2) (tuple), expected a Cut or None"),
        (media(name=7), "media['image'].name is 7 (int), expected text"),
        (media(kind="sound"), "media['image'].kind is 'sound'"),
        ({"turns": None}, "turns is None"),
        ({"turns": ("a",)}, "one of turns is 'a'"),
        ({"turns": (Turn(role=1, parts=()),)}, "Turn.role is 1"),
        ({"turns": (Turn(role="user", parts=Text(text="a")),)}, "Turn.parts"),
        ({"turns": (Turn(role="user", parts="ab"),)}, "Turn.parts is 'ab'"),
        (turn(Text(text=None)), "Text.text is None (NoneType), expected text"),
        (turn("a"), "one of Turn.parts is 'a'"),
        (turn(Show(media="001")), "Show.media is '001' (str), expected a name in media"),
        (turn(Show(media=["000"])), "Show.media"),
        (turn(Show(media="000", start_s="1")), "a piece of a medium"),
        (turn(Show(media="000", box_px=(1, 2))), "a piece of a medium"),
        ({"columns": {1: 2}}, "columns"),
        ({"columns": [1]}, "columns is [1]"),
        ({"columns": {"changes": 3}}, "columns['changes'] is 3"),
    ],
)
def test_each_field_is_named(changed, field):
    assert fault_of(GOOD) is None
    assert fault_of(replace(GOOD, **changed)).startswith(field)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (None, "what it returned is None (NoneType), expected a Sample or a Drop"),
        ({"key": "k"}, "what it returned"),
        (Drop(reason="no idea"), "Drop.reason is 'no idea' (str)"),
        (Drop(reason=Reason.BAD_ROW, detail=5), "Drop.detail is 5 (int)"),
        (Sample(key="x" * 5000 + "."), f"key is '{'x' * 59}... (str)"),
    ],
)
def test_what_is_no_outcome(outcome, said):
    assert fault_of(outcome).startswith(said)
    assert fault_of(Drop(reason=Reason.BAD_ROW)) is None


def test_parts_have_dots_once_they_are_stored():
    stored = replace(GOOD, media={"jpg": MediaRef(), "000.jpg": MediaRef()}, turns=())
    assert fault_of(stored, stored=True) is None
    assert fault_of(stored).startswith("a name in media is '000.jpg'")
    for name in ("json", "txt", "a..jpg", ".jpg"):
        assert fault_of(replace(stored, media={name: MediaRef()}), stored=True).startswith("a name in media")
