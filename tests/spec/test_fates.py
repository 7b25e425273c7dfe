"""A fate and its sample say the same of a medium, under the same names."""

import orjson

from gristmill.ledger.fates import FATES_SCHEMA, fates_table
from gristmill.shards.samples import StoredSample, decode_sample, encode_sample
from gristmill.spec.fate import FACTS, Fate, fate_of
from gristmill.spec.locator import Member, Url
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Origin, Sample
from gristmill.steps.facts import with_facts

CLIP = {"width_px": 640, "height_px": 360, "duration_s": 12.5, "fps": 29.97, "frames": 375}


def sample(ref: MediaRef) -> Sample:
    return Sample(key="k", media={"000.mp4": ref}, origin=Origin(source="s", file="f", row=7))


def said_of(ref: MediaRef) -> dict:
    return orjson.loads(StoredSample.read(encode_sample(sample(ref))).json())["media"]["000.mp4"]


def test_what_is_measured_goes_from_the_fate_into_the_sample_and_back():
    measured = Fate(row=7, key="k", medium="000.mp4", sha256="ab", via="mirror", **CLIP)
    made = sample(with_facts(MediaRef(kind="video", at=Member("clips", "a.mp4")), measured))
    assert fate_of(decode_sample(encode_sample(made)), "000.mp4") == measured
    assert fates_table([measured], source="s", file="f").select(list(CLIP)).to_pylist() == [CLIP]
    assert set(FACTS) <= set(FATES_SCHEMA.names)


def test_a_picture_says_nothing_of_time():
    clip, still = said_of(MediaRef(kind="video", **CLIP)), said_of(MediaRef(width_px=640))
    assert clip.keys() - still.keys() == {"duration_s", "fps", "frames"}


def test_a_fate_never_tells_a_password():
    made = sample(MediaRef(at=Url("https://me:secret@a.test/x.jpg")))
    lost = fate_of(made, "000.mp4", reason=Reason.KILLED)
    assert (lost.url, lost.reason, lost.row) == ("https://a.test/x.jpg", Reason.KILLED, 7)
