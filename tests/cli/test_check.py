"""The command: what it prints, what it writes, how it ends."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from typed import gristmill

from gristmill.testing.videos import MadeVideo, made_video


def record(name, *texts, **more):
    """A LLaVA record about a picture."""
    turns = [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(texts)]
    return {"id": name, "image": f"{name}.jpg", **more, "conversations": turns}


def picture(width=64, height=48, colour=(200, 30, 30)):
    body = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(body, "JPEG")
    return body.getvalue()


GOOD = [record(f"p{n}", "<image>\nWhat is it?", "A kite.") for n in range(3)]


def checked(folder, rows, *words, code=0, name="train.json", **more):
    path = folder / name
    text = "".join(json.dumps(row) + "\n" for row in rows) if name.endswith("jsonl") else json.dumps(rows)
    path.write_text(text)
    done = gristmill("check", path, "--json", *words, code=code, **more)
    return json.loads(done.stdout)


def codes(result):
    return {one["code"]: (one["count"], one["action"]) for one in result["findings"]}


def test_a_clean_file(tmp_path):
    assert checked(tmp_path, GOOD) == {"records": 3, "good": 3, "findings": []}
    done = gristmill("check", tmp_path / "train.json")
    assert "3 records, array (conversations: from/value)" in done.stdout
    assert "3 good, 0 would be mended, 0 would be dropped" in done.stdout


def test_what_can_all_be_mended_ends_well_and_what_not_with_3(tmp_path):
    rows = [*GOOD, {**record("x", "What is it?", "A kite."), "id": 4}]
    result = checked(tmp_path, rows)
    assert (result["records"], result["good"]) == (4, 3)
    assert result["findings"] == [
        {"code": "id_number", "count": 1, "action": "fix", "examples": [{"record": 3, "detail": "4"}]},
        {
            "code": "tags_missing",
            "count": 1,
            "action": "fix",
            "examples": [{"record": 3, "detail": "1 <image>"}],
        },
    ]
    result = checked(tmp_path, [*rows, record("y", "<image><image>\na", "b")], code=3)
    assert codes(result)["tags_many"] == (1, "drop")
    assert codes(checked(tmp_path, rows, "--set", "tags_missing=drop", code=3))["tags_missing"] == (1, "drop")
    done = gristmill(
        "check", tmp_path / "train.json", "--set", "tags_missing=keep", "--set", "nothing=keep", code=2
    )
    assert "There is no check 'nothing'" in done.stderr


@pytest.mark.parametrize("name", ["out.json", "out.jsonl"])
def test_the_mended_copy_finds_nothing_more(name, tmp_path):
    rows = [
        GOOD[0],
        record("a", "What is it? é", "A kite.</s>"),
        record("b", "<image><image>\na", "b"),
        record("b", "<image>\nWhat is it?", "A kite."),
        {"nothing": 1},
        GOOD[1],
    ]
    out = tmp_path / name
    result = checked(tmp_path, rows, "--fix", out, "--set", "id_doubled=fix", code=3)
    assert (result["records"], result["good"]) == (6, 2)
    text = out.read_text("ascii")
    copy = json.loads(text) if name == "out.json" else [json.loads(line) for line in text.splitlines()]
    assert [row["id"] for row in copy] == ["p0", "a", "b-2", "p1"]
    assert copy[0] == GOOD[0]
    assert [turn["value"] for turn in copy[1]["conversations"]] == ["<image>\nWhat is it? é", "A kite."]
    done = [json.loads(line) for line in (tmp_path / f"{name}.changes.jsonl").read_text().splitlines()]
    assert sorted((line["record"], line["code"], line["action"]) for line in done) == [
        (1, "control_text", "fix"),
        (1, "tags_missing", "fix"),
        (2, "tags_many", "drop"),
        (3, "id_doubled", "fix"),
        (4, "not_a_conversation", "drop"),
    ]
    assert json.loads(gristmill("check", out, "--json").stdout) == {"records": 4, "good": 4, "findings": []}
    assert "is the file that is checked" in gristmill("check", out, "--fix", out, code=2).stderr


def test_records_against_each_other(tmp_path):
    boxed = record("a", "<image>\nWhere?", "[0.1, 0.1, 0.2, 0.2]")
    text = {"id": "t", "conversations": GOOD[0]["conversations"][1:] * 1}
    text["conversations"] = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    messages = {
        "id": "m",
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    }
    result = checked(
        tmp_path, [text, boxed, {**boxed, "id": "b"}, messages, GOOD[0], GOOD[0]], name="train.jsonl"
    )
    assert codes(result) == {
        "boxes": (2, "keep"),
        "boxes_shared": (1, "keep"),
        "id_doubled": (1, "keep"),
        "media_late": (1, "keep"),
        "shape_mixed": (1, "keep"),
    }
    assert {one["code"]: one["examples"][0]["record"] for one in result["findings"]} == {
        "boxes": 1,
        "boxes_shared": 2,
        "id_doubled": 5,
        "media_late": 0,
        "shape_mixed": 3,
    }
    dropped = checked(
        tmp_path, [GOOD[0], GOOD[0]], "--set", "id_doubled=drop", "--fix", tmp_path / "o.json", code=3
    )
    assert dropped["good"] == 1
    assert len(json.loads((tmp_path / "o.json").read_text())) == 1


def media(root, kind):
    """Good, cut off, no picture, empty, tiny, one of another case, and a placeholder under eleven names."""
    files = {
        "p0.jpg": picture(),
        "p1.jpg": picture(320, 240)[:-400],
        "p2.jpg": b"<!DOCTYPE html><html>Quota exceeded</html>",
        "p3.jpg": b"",
        "p4.jpg": picture(8, 40),
        "P5.JPG": picture(colour=(1, 2, 3)),
        **{f"same{n}.jpg": picture(colour=(0, 0, 0)) for n in range(11)},
        "v.mp4": made_video(MadeVideo(frames=12)),
        "page.mp4": b"<html>",
    }
    if kind == "folder":
        root.mkdir()
        for name, body in files.items():
            (root / name).write_bytes(body)
    elif kind == "zip":
        with zipfile.ZipFile(root, "w") as archive:
            for name, body in files.items():
                archive.writestr(name, body)
    else:
        with tarfile.open(root, "w") as archive:
            for name, body in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(body)
                archive.addfile(info, io.BytesIO(body))
    return root


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_media_are_looked_at_where_they_lie(kind, tmp_path):
    root = media(tmp_path / f"media-{kind}", kind)
    names = [*(f"p{n}" for n in range(7)), *(f"same{n}" for n in range(11))]
    rows = [record(name, "<image>\na", "b") for name in names]
    rows += [
        record("out", "<image>\na", "b", image="../secret.jpg"),
        record("again", "<image>\na", "b", image="p0.jpg"),
    ]
    for name in ("v.mp4", "page.mp4"):
        row = record(name, "<video>\na", "b", video=name)
        del row["image"]
        rows.append(row)
    out = tmp_path / "out.json"
    result = checked(tmp_path, rows, "--media", root, "--fix", out, code=3)
    found = {
        one["code"]: (one["count"], one["action"], [each["record"] for each in one["examples"]])
        for one in result["findings"]
    }
    assert found == {
        "media_undecodable": (1, "drop", [1]),
        "media_other": (2, "drop", [2, 21]),
        "media_empty": (1, "drop", [3]),
        "media_tiny": (1, "drop", [4]),
        "media_name": (1, "fix", [5]),
        "media_missing": (2, "drop", [6, 18]),
        "path_escapes": (1, "drop", [18]),
        "media_placeholder": (11, "keep", [7, 8, 9, 10, 11]),
    }
    kept = {row["id"]: row.get("image") for row in json.loads(out.read_text())}
    assert kept == {"p0": "p0.jpg", "p5": "P5.JPG", "again": "p0.jpg", "v.mp4": None} | {
        f"same{n}": f"same{n}.jpg" for n in range(11)
    }


def test_one_part_of_an_archive_stands_for_all_and_a_root_that_is_of_no_use_is_told(tmp_path):
    """Of a split archive the first part alone would be read as one that is cut; elsewhere nothing is found."""
    whole = media(tmp_path / "whole.tar", "tar").read_bytes()
    half = len(whole) // 2
    (tmp_path / "m.tar.partaa").write_bytes(whole[:half])
    (tmp_path / "m.tar.partab").write_bytes(whole[half:])
    for given in (["m.tar.partab"], ["m.tar.partaa", "m.tar.partab"]):
        words = [word for name in given for word in ("--media", tmp_path / name)]
        assert checked(tmp_path, GOOD[:1], *words)["findings"] == []
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("images/p0.jpg", picture())
    (tmp_path / "none").mkdir()
    roots = [word for name in ("other.zip", "none", "whole.tar") for word in ("--media", tmp_path / name)]
    done = gristmill("check", tmp_path / "train.json", *roots)
    assert "other.zip has none of the media that records name: it holds images/p0.jpg" in done.stdout
    assert f"{tmp_path / 'none'} has none of the media that records name: it is empty" in done.stdout
    assert "whole.tar has none" not in done.stdout
    assert (
        "there is 'images/p0.jpg'" in gristmill("check", tmp_path / "train.json", *roots[:4], code=2).stderr
    )


def test_folders_behind_links_and_absolute_paths_below_the_root(tmp_path):
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "p0.jpg").write_bytes(picture())
    root = tmp_path / "root"
    root.mkdir()
    (root / "coco").symlink_to(real)
    rows = [
        record("p0", "<image>\na", "b", image="coco/p0.jpg"),
        record("p1", "<image>\na", "b", image=f"{root}/coco/p0.jpg"),
        record("p2", "<image>\na", "b", image=f"{real}/p0.jpg"),
    ]
    result = checked(tmp_path, rows, "--media", root, code=3)
    assert codes(result) == {"media_missing": (1, "drop"), "path_absolute": (2, "keep")}


def test_where_no_medium_is_found_something_else_was_meant(tmp_path):
    (tmp_path / "root" / "train2017").mkdir(parents=True)
    path, out = tmp_path / "train.json", tmp_path / "out.json"
    path.write_text(json.dumps([{**row, "image": f"coco/{row['image']}"} for row in GOOD]))
    done = gristmill("check", path, "--media", tmp_path / "root", "--fix", out, code=2)
    assert (
        "none of 3 media is where --media says, such as 'coco/p2.jpg'; there is 'train2017'." in done.stderr
    )
    assert not out.exists()
    (tmp_path / "page.zip").write_text("<html>Quota exceeded</html>")
    refused = gristmill("check", path, "--media", tmp_path / "page.zip", code=1)
    assert "it is a web page" in refused.stderr


def test_a_file_that_is_cut(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(GOOD, indent=2)[:-100])
    done = gristmill("check", path, code=3)
    assert "file_cut: 1, would be dropped" in done.stdout
    assert "record 2 is not whole: it begins behind byte" in done.stdout
    out = tmp_path / "out.json"
    refused = gristmill("check", path, "--fix", out, code=1)
    assert "is cut: record 2" in refused.stderr
    assert "--set file_cut=fix" in refused.stderr
    assert not out.exists()
    assert not (tmp_path / "out.json.changes.jsonl").exists()
    gristmill("check", path, "--fix", out, "--set", "file_cut=fix")
    assert json.loads(out.read_text()) == GOOD[:2]


def test_what_is_no_file_of_conversations(tmp_path):
    path = tmp_path / "train.json"
    path.write_text('[{"a": 1}, {"a": 2}]')
    done = gristmill("check", path, code=1)
    assert "none of its 2 records is a conversation" in done.stderr
    assert "among its keys: a" in done.stderr
    path.write_text("")
    assert "0 records, empty" in gristmill("check", path).stdout
    path.write_text(
        '{"conversations": [{"from": "human", "value": "\ud83d"}]}\n\n'.encode("utf-8", "replace").decode()
    )
    gristmill("check", path, code=3)


@pytest.mark.timeout(100)
def test_several_processes_give_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("gristmill.steps.conversations.examine._ALONE_BYTES", 0)
    rows = [record(f"p{n % 2500}", "<image>\nWhat?" if n % 7 else "What?", "A kite.") for n in range(3000)]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(rows))
    results = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.json"
        done = gristmill(
            "check", path, "--json", "--workers", workers, "--fix", out, "--set", "id_doubled=fix"
        )
        changes = (tmp_path / f"{workers}.json.changes.jsonl").read_bytes()
        results.append((done.stdout, out.read_bytes(), changes))
    assert results[0] == results[1]
    assert len({row["id"] for row in json.loads(results[0][1])}) == 3000


SHARED = next(
    (p / "shared/data" for p in Path(__file__).parents if (p / "shared/data").is_dir()), Path("none")
)
REAL = {
    "llava-instruct/llava_complex_reasoning_4k.json": 4000,
    "llava-instruct/minigpt_caption_3k.json": 3362,
    "mllm-examples/llamafactory.mllm_demo.json": 6,
    "mllm-examples/llamafactory.mllm_video_demo.json": 3,
    "mllm-examples/lmms-finetune.ego4d_video_eval.json": 4,
    "mllm-examples/lmms-finetune.multi_images.json": 2,
    "mllm-examples/lmms-finetune.single_image_has_text_only.json": 4,
    "mllm-examples/lmms-finetune.video.json": 2,
    "mllm-examples/mantis.chat.train.json": 100,
    "mllm-examples/xtuner.mllm_pretrain_image_example_data.jsonl": 12,
    "mllm-examples/xtuner.mllm_sft_multi_image_example_data.jsonl": 11,
    "mllm-examples/xtuner.mllm_sft_single_image_example_data.jsonl": 22,
    "mllm-examples/xtuner.mllm_sft_video_example_data.jsonl": 10,
    "video-chatgpt/qwen3-vl.demo.video.json": 3,
    "visual-cot/sroie_cot_train.jsonl": 2486,
    "gqa/testdev_balanced_questions.json": 1944,
    "gsm8k-screl/train_use.jsonl": 7473,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_files_can_be_mended_whole(name, tmp_path):
    if not (SHARED / name).exists():
        pytest.skip("real files are not here")
    out = tmp_path / "out.jsonl"
    result = json.loads(gristmill("check", SHARED / name, "--json", "--fix", out).stdout)
    assert result["records"] == REAL[name]
    again = json.loads(gristmill("check", out, "--json").stdout)
    assert (again["records"], again["good"]) == (REAL[name], REAL[name])
