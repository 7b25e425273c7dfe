"""What a folder was begun with, and the difference to what is asked of it now."""

from dataclasses import replace
from functools import partial

import pytest

from gristmill import recipes
from gristmill.ledger.run_config import RUN_CONFIG, InputFile, RunConfig, datasets_in
from gristmill.spec.errors import DamagedOutput, DriftError, UsageError
from gristmill.spec.recipe import Recipe

INPUTS = tuple(
    InputFile(source="annotations", name=f"data/{n}.parquet", size_bytes=10 + n, digest=f"{n}" * 64)
    for n in range(2)
)


def recipe(**settings: str) -> Recipe:
    return recipes.load("coyo-700m", None, {key.replace("__", "."): text for key, text in settings.items()})


def config(made: Recipe, **more) -> RunConfig:
    facts = {
        "recipe": "coyo-700m",
        "name": made.public_name,
        "version": made.version,
        "identity": made.identity(),
        "inputs": INPUTS,
        "sources": {"annotations": "kakaobrain/coyo-700m@54ee2d8"},
    }
    return RunConfig(**facts | more)


def differences(folder, was: RunConfig, now: RunConfig) -> dict[str, tuple[str, str]]:
    """As found against what lies on disk, the text of each in the error's message."""
    was.write(folder)
    with pytest.raises(DriftError) as caught:
        RunConfig.read(folder).check(now, folder)
    for field, before, after in caught.value.differences:
        assert f"{field} " in str(caught.value)
        assert f"was {before}" in str(caught.value)
        assert f"is {after}" in str(caught.value)
    return {field: (before, after) for field, before, after in caught.value.differences}


def test_the_same_is_no_drift_after_a_round_trip(tmp_path):
    one = config(recipe(), only=10, arguments={"url_column": "url", "patterns": ("*.csv",)})
    one.write(tmp_path)
    read = RunConfig.read(tmp_path)
    read.check(one, tmp_path)
    assert read.inputs == INPUTS
    with_round = read.with_round(("reset", "http_5xx"))
    with_round.write(tmp_path)
    assert RunConfig.read(tmp_path).rounds == (("reset", "http_5xx"),)
    RunConfig.read(tmp_path).check(one, tmp_path)


@pytest.mark.parametrize(
    ("settings", "field", "was", "now"),
    [
        ({"select__share": "0.1"}, "select.share", "0.2", "0.1"),
        (
            {"select__score": "a,b"},
            "select.score",
            '["clip_similarity_vitb32","clip_similarity_vitl14"]',
            '["a","b"]',
        ),
        ({"pack__drop_tail": "true"}, "pack.drop_tail", "false", "true"),
        ({"pack__shard_bytes": "1000"}, "pack.shard_bytes", "null", "1000"),
        ({"crawl__size_px": "224"}, "crawl.size_px", "336", "224"),
    ],
)
def test_a_changed_setting_is_named_with_both_values(tmp_path, settings, field, was, now):
    assert differences(tmp_path, config(recipe()), config(recipe(**settings))) == {field: (was, now)}


def test_every_difference_is_named(tmp_path):
    now = config(recipe(crawl__size_px="224", pack__drop_tail="yes"), only=5)
    assert differences(tmp_path, config(recipe()), now) == {
        "crawl.size_px": ("336", "224"),
        "pack.drop_tail": ("false", "true"),
        "only": ("null", "5"),
    }


def test_how_is_no_drift(tmp_path):
    manner = {"crawl__in_flight": "7", "crawl__contact": "me@example.org", "crawl__tries": "1"}
    config(recipe()).write(tmp_path)
    RunConfig.read(tmp_path).check(config(recipe(**manner), sources={"annotations": "/mnt/copy"}), tmp_path)


def test_changed_lost_and_added_inputs(tmp_path):
    one = config(recipe())
    changed = replace(INPUTS[0], digest="f" * 64)
    added = replace(INPUTS[0], name="data/2.parquet")
    found = differences(tmp_path, one, replace(one, inputs=(changed, added)))
    assert found == {
        "input.annotations/data/0.parquet": ('"0000000000000000"', '"ffffffffffffffff"'),
        "input.annotations/data/1.parquet": ('"1111111111111111"', "absent"),
        "input.annotations/data/2.parquet": ("absent", '"0000000000000000"'),
    }


def test_moved_inputs_are_the_same(tmp_path):
    one = config(recipe())
    one.write(tmp_path)
    RunConfig.read(tmp_path).check(
        replace(one, inputs=tuple(replace(i, path=f"/mnt/{i.name}") for i in INPUTS)), tmp_path
    )


def test_version_and_revision(tmp_path):
    one = config(recipe())
    steps = [dict(step) for step in one.identity["steps"]]
    steps[1]["revision"] = 99
    now = replace(one, identity={**one.identity, "version": "2030.1.1", "steps": steps})
    found = differences(tmp_path, one, now)
    assert set(found) == {"version", "crawl.revision"}


def test_two_steps_of_one_name_and_their_order_are_told_apart(tmp_path):
    def made(*steps):
        one = config(recipe())
        return replace(one, identity={**one.identity, "steps": list(steps)})

    keep, other = ({"step": "keep", "revision": 1, "least": n} for n in (1, 2))
    pack = {"step": "pack", "revision": 1}
    assert differences(tmp_path, made(keep, other, pack), made({**keep, "least": 5}, other, pack))
    assert differences(tmp_path, made(keep, other, pack), made(other, keep, pack))
    assert differences(tmp_path, made(keep, other, pack), made(keep, pack))
    assert differences(tmp_path, made(keep, pack), made(pack, keep))


def test_sets_among_the_settings_can_be_written(tmp_path):
    one = config(recipe())
    step = {"step": "keep", "revision": 1, "words": frozenset({"b", "a"})}
    one = replace(one, identity={**one.identity, "steps": [step]})
    one.write(tmp_path)
    RunConfig.read(tmp_path).check(one, tmp_path)


def test_a_folder_without_a_dataset_and_a_damaged_one(tmp_path):
    for call in (
        partial(RunConfig.read, tmp_path),
        partial(datasets_in, tmp_path),
        partial(datasets_in, tmp_path / "no"),
    ):
        with pytest.raises(UsageError, match="holds no dataset"):
            call()
    config(recipe()).write(tmp_path / "b")
    config(recipe()).write(tmp_path / "a")
    assert datasets_in(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert datasets_in(tmp_path / "a") == [tmp_path / "a"]
    path = tmp_path / "a" / RUN_CONFIG
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedOutput, match=r"run\.json is damaged"):
        RunConfig.read(tmp_path / "a")


def test_a_folder_of_an_older_version_is_refused(tmp_path):
    state = tmp_path / "old" / ".gristmill"
    state.mkdir(parents=True)
    (state / "begun.json").write_text("{}")
    for name in (tmp_path / "old", tmp_path):
        with pytest.raises(UsageError, match="old was begun by an older version of Gristmill"):
            datasets_in(name)
    with pytest.raises(UsageError, match="older version"):
        RunConfig.read(tmp_path / "old")
