"""Recipes that contradict themselves, and settings as typed."""

from dataclasses import dataclass, replace

import pytest

from gristmill import recipes
from gristmill.run.planning.pipeline import Pipeline
from gristmill.spec.errors import RecipeError, UnknownName, UsageError
from gristmill.spec.recipe import Source
from gristmill.spec.step import SampleStep, runtime_option
from gristmill.spec.task import digest_of

COYO = recipes.find("coyo-700m")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSharp(SampleStep):
    """Reads what nobody writes."""

    least: float = 1.0
    words: frozenset[str] = frozenset({"b", "a"})
    threads: int = runtime_option(4)

    name = "keep"
    reads = frozenset({"media.sharpness"})

    def apply(self, sample):
        return sample


def test_a_step_that_reads_what_no_earlier_step_writes():
    with pytest.raises(
        RecipeError, match=r"keep reads \['media.sharpness'\].*\n.*parse, select, crawl, same_picture, pack"
    ):
        replace(COYO, steps=(*COYO.steps, KeepSharp()))
    assert replace(COYO, steps=(*COYO.steps, KeepSharp()), writes=COYO.writes | KeepSharp.reads)


@pytest.mark.parametrize(
    "facts", [{"name": "Coyo-700M"}, {"name": ""}, {"version": "1.0"}, {"version": "2026-11-01"}]
)
def test_names_and_versions_have_one_form(facts):
    with pytest.raises(RecipeError):
        replace(COYO, **facts)


def test_a_source_on_the_hub_is_pinned():
    with pytest.raises(RecipeError, match="no pinned revision"):
        Source(key="a", hub="owner/name")


@pytest.mark.parametrize("steps", [(), (0,), (1, 3), (0, 1), (3, 1, 0), (0, 3, 1), (0, 0, 3), (0, 1, 2)])
def test_steps_in_another_order_than_stages_allow(steps):
    with pytest.raises(RecipeError, match="expected one step over the table"):
        Pipeline(replace(COYO, steps=tuple(COYO.steps[n] for n in steps)))


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("select.share", "0.5", 0.5),
        ("select.score", "a, b,", ("a", "b")),
        ("pack.shard_samples", "10_000", 10_000),
        ("pack.shard_bytes", "none", None),
        ("pack.shard_bytes", "1000", 1000),
        ("pack.drop_tail", "Yes", True),
        ("pack.drop_tail", "0", False),
        ("crawl.contact", "me@example.org", "me@example.org"),
        ("crawl.max_phash_distance", "", None),
    ],
)
def test_text_becomes_the_fields_type(setting, text, value):
    step, _, field = setting.partition(".")
    made = COYO.with_settings({setting: text})
    assert [getattr(s, field) for s in made.steps if s.name == step] == [value]


@pytest.mark.parametrize(
    ("setting", "text", "words"),
    [
        ("pack.shard_samples", "many", "expected int"),
        ("select.share", "a fifth", "expected float"),
        ("select.share", "2", "share"),
        ("crawl.total_s", "inf", "expected float"),
        ("crawl.total_s", "nan", "expected float"),
        ("pack.drop_tail", "perhaps", "expected bool"),
        ("crawl.resize_mode", "sideways", "resize_mode"),
        ("pack.shard_samples", "9223372036854775808", "expected int"),
        ("select.part_rows", "0", "part_rows"),
        ("select.score", "", "one or more columns"),
        ("crawl.codecs", "0", "codecs must be from 1 to 64"),
        ("crawl.codecs", "100000", "codecs must be from 1 to 64"),
        ("crawl.codec_deadline_s", "0", "codec_deadline_s"),
        ("crawl.codec_deadline_s", "1000", "codec_deadline_s"),
    ],
)
def test_text_that_does_not_fit_is_refused(setting, text, words):
    with pytest.raises(UsageError, match=words):
        COYO.with_settings({setting: text})


@pytest.mark.parametrize(
    ("setting", "hint"), [("selekt.share", "select"), ("select.sahre", "share"), ("share", "step")]
)
def test_settings_that_nothing_has(setting, hint):
    with pytest.raises(UnknownName, match=hint):
        COYO.with_settings({setting: "1"})


def test_identity_is_what_decides_the_outcome():
    one = KeepSharp()
    assert one.identity() == {"step": "keep", "revision": 1, "least": 1.0, "words": frozenset({"a", "b"})}
    assert replace(one, threads=9).identity() == one.identity()
    assert digest_of(one.identity()) == digest_of(replace(one, words=frozenset(["a", "b"])).identity())
    with pytest.raises(TypeError, match="cannot be part of an identity"):
        digest_of({"a": object()})


def test_a_variant_brings_settings_of_its_own_and_what_is_typed_holds():
    recipe = recipes.find("youcook2")
    official = recipe.with_settings({"annotations.variant": "official"})
    assert (official.steps[0].array, official.steps[0].each) == ("database", "annotations")
    assert official.source("annotations").patterns == ("youcookii_annotations_trainval.json",)
    pair = {"annotations.variant": "official", "rows.each": ""}
    for typed in (pair, dict(reversed(pair.items()))):
        assert recipe.with_settings(typed).steps[0].each is None
    assert recipe.with_settings({"annotations.variant": "vila"}).steps == recipe.steps
    with pytest.raises(UsageError, match="expected one of vila, official"):
        recipe.with_settings({"annotations.variant": "other"})
