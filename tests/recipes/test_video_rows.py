"""Rows of the video sets in their other forms, the real lists whole, and which piece of which video is meant."""

import json
from pathlib import Path

import pytest
from typed import gristmill

from gristmill import recipes
from gristmill.shards.rows import rows_of
from gristmill.spec.cut import Cut
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.locator import Video
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, MediaRef, Sample
from gristmill.steps.segments import VideoSegments
from gristmill.testing.check_recipe import check_recipe

HERE = Path(__file__).parent
LIST = HERE / "youcook2" / "youcookii_annotations_trainval.json"
SHARED = next(
    (p / "shared/data" for p in Path(__file__).parents if (p / "shared/data").is_dir()), Path("none")
)


def real(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip("real files are not here")
    return SHARED / name


class Box:
    """A TableContext that remembers rows as ``parse`` sees them."""

    def __init__(self):
        self.only, self.kept, self.left_out = 1_000_000, [], 0

    def keep(self, table, rows, groups=None):
        self.kept += rows_of(table)

    def drop(self, rows, reason, detail=""):
        assert reason in (Reason.LEFT_OUT, Reason.NOT_CHOSEN) or not len(rows)
        self.left_out += len(rows)

    def note(self, text):
        pass

    def expect(self, *numbers):
        pass

    progress = expect


def made_of(path, name, **settings):
    """What becomes of the rows of a file, and how many of them were left out."""
    box = Box()
    recipe = recipes.find(name).with_settings({"annotations.variant": "official", **settings})
    recipe.steps[0].apply(path, box)
    return [recipe.parse(row) for row in box.kept], box.left_out


def conversation(**more):
    turns = [{"from": "human", "value": "<video>\nWhat?"}, {"from": "gpt", "value": "x"}]
    return {"conversations": turns, **more}


def test_youcook2s_own_list_gives_a_row_a_segment():
    made, _ = made_of(LIST, "youcook2")
    assert [one.media["000"].name if isinstance(one, Sample) else one.reason for one in made] == [
        "AbCdEfGhIjK_0.mp4",
        "AbCdEfGhIjK_1.mp4",
        "-b_cDeFgHi__0.mp4",
        "-b_cDeFgHi__1.mp4",
        "-b_cDeFgHi__2.mp4",
        Reason.BAD_ROW,  # it has no length
        "_-kLmNoPqRs_1.mp4",
    ]
    assert made[3].media["000"].cut == Cut(start_s=4, end_s=9)
    assert made[3].turns[1].parts[0].text == "wash it"
    assert made[3].columns == {"subset": "validation", "segment": 1}
    step = VideoSegments(subsets=("training",))  # rows of the list itself say their subset
    kept = [isinstance(step.apply(one), Sample) for one in made if isinstance(one, Sample)]
    assert kept == [True, True, False, False, False, True]


def test_vilas_clips_are_cut_by_the_list_and_validation_can_be_left_out():
    recipe = recipes.find("youcook2").with_settings({"segments.subsets": "training"})
    rows = [json.loads(line) for line in (HERE / "youcook2/rows.jsonl").read_text().splitlines()]
    _, *made = check_recipe(recipe, rows, HERE / "youcook2")
    left_out = {
        one["row"]: one["drop"]["detail"] for one in made if one.get("drop", {}).get("reason") == "left_out"
    }
    assert left_out == {2: "subset is validation", 5: "subset is not known"}
    with pytest.raises(UsageError, match="--source official=FILE"):
        check_recipe(recipe, rows)  # without the list
    _, *alone = check_recipe(recipes.find("youcook2"), rows)
    assert alone[0]["sample"]["media"]["000"]["at"]["name"] == "AbCdEfGhIjK_0"  # a file of its own
    assert "cut" not in alone[0]["sample"]["media"]["000"]


def test_a_list_that_is_none_is_told(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"database": {"a": {"subset": 1}, "b": {"subset": 2}}}))
    with pytest.raises(SourceError, match="each with a subset and annotations"):
        VideoSegments().with_aux({"official": (path,)})
    whole = Sample(key="a", media={"000": MediaRef(kind="video", at=Video("videos", "a"))})
    assert VideoSegments().with_aux({"official": (LIST,)}).apply(whole) == whole


@pytest.mark.parametrize(
    ("settings", "captions", "left_out"),
    [
        ({}, ["a", "b", "c", "g", None], 0),
        ({"rows.each": "chCap"}, ["x", "y", None, None], 0),
        ({"rows.each": "enCap|chCap"}, ["a", "x", "b", "y", "c", "g", None], 0),
        ({"rows.most_alike": "1"}, ["a", "g", None], 2),
        ({"rows.each": "enCap|chCap", "rows.most_alike": "2"}, ["a", "x", "g", None], 3),
    ],
)
def test_vatexs_captions_by_language_and_number(tmp_path, settings, captions, left_out):
    path = tmp_path / "vatex_training_v1.0.json"
    listed = [
        {"videoID": "A_cdEfGhIjK_000012_000022", "enCap": ["a", " b ", "c"], "chCap": ["x", "y"]},
        {"videoID": "-bCdEfGhIj__000000_000010", "enCap": ["g"]},
        {"videoID": "-bCdEfGhIj__000010_000020", "enCap": [""], "chCap": []},
    ]
    path.write_text(json.dumps(listed))
    made, others = made_of(path, "vatex", **settings)
    assert [one.turns[1].parts[0].text if isinstance(one, Sample) else None for one in made] == captions
    assert others == left_out
    assert all(one.reason == Reason.EMPTY_TEXT for one in made if isinstance(one, Drop))
    samples = [one for one in made if isinstance(one, Sample)]
    (at,) = {one.media["000"].at for one in samples if one.turns[1].parts[0].text != "g"}
    assert at == Video("videos", "A_cdEfGhIjK", "https://www.youtube.com/watch?v=A_cdEfGhIjK")
    for one in samples:
        assert (one.columns["language"] == "zh") == (not one.turns[0].parts[1].text.isascii())


def test_of_vilas_captions_the_first_of_each_piece_can_be_taken():
    recipe = recipes.find("vatex").with_settings({"rows.most_alike": "1"})
    rows = [json.loads(line) for line in (HERE / "vatex/rows.jsonl").read_text().splitlines()]
    _, *made = check_recipe(recipe, [row for row in rows if "video" in row][:4])
    assert [one["table"] for one in made] == [0, "left_out", 1, 2]


@pytest.mark.parametrize(
    ("place", "first"), [("first", [True] * 3), ("last", [False] * 3), ("alternate", [False, True, False])]
)
def test_where_a_video_stands(place, first):
    recipe = recipes.find("video-chatgpt").with_settings({"place.media": place})
    rows = [{"q": f"{n}?", "a": "x", "video_id": "v_0aB1cD2eF3g"} for n in range(3)]
    _, *made = check_recipe(recipe, rows)
    assert ["media" in one["sample"]["turns"][0]["parts"][0] for one in made] == first
    with pytest.raises(UsageError, match=r"place\.media=x"):
        recipe.with_settings({"place.media": "x"})


def test_a_file_of_another_variant_is_told_by_its_name(tmp_path):
    told = gristmill("plan", "youcook2", "--out", tmp_path, "--source", f"annotations={LIST}", code=2)
    assert "--set annotations.variant=official" in told.stderr


# real lists, whole


@pytest.mark.slow
def test_youcook2s_real_list():
    path = real("youcook2/youcookii_annotations_trainval.json")
    made, _ = made_of(path, "youcook2")
    assert len(made) == 13_829
    assert all(isinstance(one, Sample) for one in made)
    refs = [one.media["000"] for one in made]
    assert len({ref.at.name for ref in refs}) == 1790
    assert sum(ref.at.name[0] in "-_" for ref in {ref.at.name: ref for ref in refs}.values()) == 55
    assert sum(ref.cut.end_s - ref.cut.start_s for ref in refs) / len(refs) == pytest.approx(19.6, abs=0.1)
    training = VideoSegments(subsets=("training",))
    assert sum(isinstance(training.apply(one), Sample) for one in made) == 10_337
    # the list gives VILA's names the same pieces
    listed = VideoSegments().with_aux({"official": (path,)})
    for one in made[::97]:
        ref = one.media["000"]
        again = listed.apply(recipes.find("youcook2").parse(conversation(video=ref.name)))
        assert again.media["000"] == ref


@pytest.mark.slow
def test_vatexs_real_ids():
    parse = recipes.find("vatex").parse
    for name, count in (("train", 25_991), ("val", 1_500)):
        ids = real(f"vatex/{name}_list.txt").read_text().split()
        made = [parse(conversation(video=f"{one}.mp4")) for one in ids]
        assert len(made) == count
        refs = [one.media["000"] for one in made]
        assert all(ref.cut.end_s - ref.cut.start_s == 10 for ref in refs)
        assert [f"{ref.at.name}_{ref.cut.start_s:06.0f}_{ref.cut.end_s:06.0f}" for ref in refs] == ids


@pytest.mark.slow
def test_video_chatgpts_real_ids_and_another_sets_records():
    parse = recipes.find("video-chatgpt").parse
    ids = real("video-chatgpt/train_video_ids.txt").read_text().split()
    made = [parse({"q": "Why?", "a": "So.", "video_id": one}) for one in ids]
    assert [one.media["000"].at.name for one in made] == ids
    assert len(ids) == 13_303
    for row in json.loads(real("video-chatgpt/qwen3-vl.demo.video.json").read_text()):
        assert parse(row).media["000"].name == row["video"]


def test_the_official_list_without_its_variant_is_told():
    told = recipes.find("youcook2").parse(json.loads(LIST.read_text()))
    assert isinstance(told, Drop)
    assert told.detail.endswith("without --set annotations.variant=official")
