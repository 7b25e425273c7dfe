"""Exports of conversations, read by the rules of the trainers that they are for."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trainer_rules as rules
import yaml
from made_pickles import captions, take, write
from made_shards import caption, conversation, document, finished, picture
from typed import gristmill

from gristmill import exports
from gristmill.exports import FinishedShards, Medium, _dialect
from gristmill.exports._media_folder import MediaFolder
from gristmill.spec.errors import UsageError
from gristmill.spec.locator import Member
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn

DIALECTS = [
    *(
        "automodel",
        "axolotl",
        "internvl",
        "llama-factory",
        "llava",
        "llava-next",
        "messages",
        "qwen-vl",
        "swift",
    ),
    *("trl", "unsloth", "vila-conversations"),
]
VIDEO = b"\x00\x00\x00\x18ftypmp42 made up"


def talk(n, *turns, paths=(), kinds="", bodies=None):
    """A sample of turns; within a text ``{0}`` is the place of a medium, and ``paths`` are upstream's."""
    kinds = kinds or "i" * len(paths)
    names = [f"{i:03d}.{'mp4' if kind == 'v' else 'jpg'}" for i, kind in enumerate(kinds)]
    made = []
    for i, turn in enumerate(turns):
        role, text = turn if isinstance(turn, tuple) else (("user", "assistant")[i % 2], turn)
        parts = []
        for at, piece in enumerate(re.split(r"\{(\d)\}", text)):
            if at % 2:
                parts.append(Show(media=names[int(piece)]))
            elif piece:
                parts.append(Text(text=piece))
        made.append(Turn(role=role, parts=tuple(parts)))
    held = bodies or [VIDEO if kind == "v" else picture(10 * n + i) for i, kind in enumerate(kinds)]
    sample = Sample(
        key=f"t_{n:05d}",
        media={name: MediaRef(kind="video" if "mp4" in name else "image") for name in names},
        turns=tuple(made),
        upstream={"image": list(paths)} if len(paths) != 1 else {"image": paths[0]},
    )
    return sample, dict(zip(names, held, strict=True))


FOR_ALL = [
    [
        talk(0, "2 + 2?", "4", "And 3 + 3?", "It is\n6 – é."),
        talk(1, "{0}What is it?", "A cat.", "Sure?", "Yes.", paths=["coco/train2017/1.jpg"]),
        talk(2, "3 < 4?", "yes"),
    ],
    [
        talk(3, "{0}Describe.", "A car.", paths=["coco/train2017/1.jpg"], bodies=[picture(10)]),
        talk(4, "a", "b"),
    ],
]
SEVERAL = [
    [talk(5, "{0}{1}Which is red?", "The first.", paths=["a/0.jpg", "b/0.jpg"]), *FOR_ALL[0]],
    FOR_ALL[1],
]


def shards_of(folder, shards, name="made-set"):
    return FinishedShards(folder=folder, shards=tuple(finished(folder, shards)), name=name)


def export(to, dataset, out, **options):
    return list(replace(exports.find(to), **options).export(dataset, out))[-1]


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("to", DIALECTS)
def test_read_by_the_rules_of_its_trainer(tmp_path, to):
    shards = FOR_ALL if to == "llava" else SEVERAL
    done = export(to, shards_of(tmp_path / "d", shards), tmp_path / "out")
    assert (done.shards, done.samples, done.left_out) == (2, sum(map(len, shards)), 0)
    media = [body for sample in shards for _, bodies in sample for body in bodies.values()]
    read, out = READERS[to](tmp_path / "out"), tmp_path / "out"
    assert sorted(read) == sorted(media)
    assert done.start in (out / "README.md").read_text()
    assert "$MODEL" in done.start or to in {"automodel", "messages"}
    if to != "trl":  # the pictures of others are files: each once, and only what rows name
        found = [path.read_bytes() for path in out.rglob("*.jpg")]
        assert sorted(found) == sorted(set(media))


def _json(folder):
    (name,) = folder.glob("train.json*")
    return rules.lines(name)


def _llava(out):
    rows = _json(out)
    first, second, *more = [sample.key for shard in FOR_ALL for sample, _ in shard]
    assert [row["id"] for row in rows] == [second, first, *more]  # one with a picture is the file's first
    assert rows[0]["conversations"][0]["value"] == "<image>\nWhat is it?"
    assert rows[0]["image"] == "coco/train2017/1.jpg"
    return [body for row in rows for body in rules.llava(row, out / "media")[1]]


def _llava_next(out):
    (entry,) = yaml.safe_load((out / "data.yaml").read_text())["datasets"]
    rows = rules.lines(entry["json_path"])
    for row in rows:
        rules.llava_next(row, out / "media", out / "media")
    named = [
        row["image"] if isinstance(row["image"], list) else [row["image"]] for row in rows if "image" in row
    ]
    return [Path(out, "media", name).read_bytes() for names in named for name in names]


def _qwen(out):
    data_dict = {}
    exec((out / "data_dict.py").read_text(), {"data_dict": data_dict})
    entry = data_dict["made_set"]
    read = [rules.qwen(row, entry["data_path"]) for row in rules.lines(entry["annotation_path"])]
    return [part for turns in read for turn in turns for part in turn if isinstance(part, bytes)]


def _internvl(out):
    (entry,) = json.loads((out / "meta.json").read_text()).values()
    assert entry["annotation"].endswith("jsonl")
    rows = rules.lines(entry["annotation"])
    assert entry["length"] == len(rows)
    assert (entry["data_augment"], entry["repeat_time"]) == (False, 1)
    return [body for row in rows for body in rules.internvl(row, entry["root"])]


def _llama_factory(out):
    info = json.loads((out / "dataset_info.json").read_text())
    assert list(info) == ["made_set", "made_set_text"]
    assert "images" not in info["made_set_text"]["columns"]
    return [
        body
        for entry in info.values()
        for row in rules.lines(out / entry["file_name"])
        for body in rules.llama_factory(row, entry, out)
    ]


def _swift(out):
    return [
        body for path in sorted(out.glob("*.jsonl")) for row in rules.lines(path) for body in rules.swift(row)
    ]


def _automodel(out):
    meta = json.loads((out / "meta.json").read_text())
    return [
        body
        for entry in meta.values()
        for row in rules.lines(out / entry["file_name"])
        for body in rules.automodel(row, entry)
    ]


def _parts(path_key=None):
    def read(out):
        rows = [row for path in sorted(out.glob("*.jsonl")) for row in rules.lines(path)]
        return [body for row in rows for body in rules.parts(row, path_key)]

    return read


def _trl(out):
    import pyarrow.parquet as pq

    rows = [row for path in sorted(out.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    for row in rows:
        rules.trl(row)
    return [image["bytes"] for row in rows for image in row.get("images", [])]


def _vila(out):
    entries = yaml.safe_load((out / "vila.yaml").read_text())
    assert list(entries) == ["made_set"]
    rows = rules.lines(entries["made_set"]["data_path"])
    bodies = [body for row in rows for body in rules.vila_release(row, entries["made_set"]["media_dir"])]
    heads = [rules.vila_head(row, entries["made_set"]) for row in rows]
    assert [part for turns in heads for turn in turns for part in turn if isinstance(part, bytes)] == bodies
    return bodies


READERS = {
    "automodel": _automodel,
    "axolotl": _parts("path"),
    "internvl": _internvl,
    "llama-factory": _llama_factory,
    "llava": _llava,
    "llava-next": _llava_next,
    "messages": _parts(),
    "qwen-vl": _qwen,
    "swift": _swift,
    "trl": _trl,
    "unsloth": _parts(),
    "vila-conversations": _vila,
}

IN_TEXT = talk(6, "Compare{0}with{1}.", "Both red.", "{2}", "A hat.", paths=["0.jpg", "1.jpg", "2.jpg"])
VIDEO_TALK = talk(7, "{0}What happens?", "A fall.", paths=["v/1.mp4"], kinds="v")
SYSTEM = talk(8, ("system", "Be brief."), ("user", "{0}What?"), ("assistant", "Tea."), paths=["8.jpg"])


@pytest.mark.parametrize(
    ("to", "sample", "kind"),
    [
        *((to, SYSTEM, "system_turn") for to in ("llava", "llava-next", "qwen-vl", "vila-conversations")),
        *((to, VIDEO_TALK, "video") for to in ("llava", "trl")),
        ("internvl", VIDEO_TALK, "video_unreadable"),
        ("internvl", SYSTEM, "first_turn_without_medium"),
        ("llava", SEVERAL[0][0], "several_pictures"),
        ("llava", talk(9, "See{0}here", "No.", paths=["9.jpg"]), "medium_within_text"),
        ("llava-next", talk(9, "See{0}here", "No.", paths=["9.jpg"]), "medium_within_text"),
        ("internvl", talk(9, "Hi", "Ho", "{0}And?", "No.", paths=["9.jpg"]), "first_turn_without_medium"),
        ("automodel", talk(9, "An <IMAGE> tag", "No."), "literal_tag"),
        *((to, talk(9, "An <image> tag", "No."), "literal_tag") for to in DIALECTS),
        *((to, talk(9, "{0}Say", "<|image_pad|>", paths=["9.jpg"]), "literal_tag") for to in DIALECTS),
        *((to, document(1, ["One."], [0]), "document") for to in DIALECTS),
        *((to, caption(1), "caption") for to in DIALECTS),
        *((to, talk(9, "Is it?", "", "Why", "So"), "empty_turn") for to in DIALECTS),
        *((to, talk(9, "Only asked"), "turns_do_not_alternate") for to in DIALECTS),
        *((to, talk(9, "What?", "{0}", paths=["9.jpg"]), "medium_in_answer") for to in DIALECTS),
        *((to, talk(9, "What?", "That", paths=["9.jpg"]), "medium_not_shown") for to in DIALECTS),
        (
            "vila-conversations",
            talk(9, "{0}Who?", "She", "Why?", "So", paths=["v.mp4"], kinds="v"),
            "several_turns",
        ),
        (
            "vila-conversations",
            talk(9, "{0}{1}Who?", "She", paths=["v.mp4", "9.jpg"], kinds="vi"),
            "video_and_more",
        ),
        ("llava-next", talk(9, "{0}{1}Who?", "She", paths=["v.mp4", "9.jpg"], kinds="vi"), "video_and_more"),
    ],
)
def test_what_a_trainer_would_stumble_over_ends_it_or_is_left_out(tmp_path, to, sample, kind):
    dataset = shards_of(tmp_path / "d", [[sample, *FOR_ALL[0]]])
    with pytest.raises(UsageError, match="--leave-out"):
        export(to, dataset, tmp_path / "refused")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]  # nothing is left of it
    done = export(to, dataset, tmp_path / "out", leave_out=True)
    assert (done.samples, done.left_out, dict(done.reasons)) == (3, 1, {kind: 1})
    assert f"`{kind}`: 1" in (tmp_path / "out" / "README.md").read_text()
    again = export(to, dataset, tmp_path / "out", leave_out=True)
    assert again == done


def test_pieces_and_boxes_of_media_are_not_lost_in_silence(tmp_path):
    sample, bodies = talk(9, "{0}What?", "That.", paths=["9.jpg"])
    boxed = Turn(role="user", parts=(Show(media="000.jpg", box_px=(0, 0, 5, 5)), Text(text="What?")))
    dataset = shards_of(tmp_path / "d", [[(replace(sample, turns=(boxed, sample.turns[1])), bodies)]])
    with pytest.raises(UsageError, match="a piece of 000"):
        export("messages", dataset, tmp_path / "out")


@pytest.mark.parametrize("to", DIALECTS)
def test_tags_are_escaped_and_captions_asked_if_wanted(tmp_path, to):
    dataset = shards_of(tmp_path / "d", [[talk(0, "An <image>, a <IMAGE>", "<video>"), caption(1, "a cat")]])
    out = tmp_path / "out"
    done = export(to, dataset, out, escape_tags=True, question="Describe it.")
    assert done.samples == 2
    assert done.changed == {"with a tag within a text escaped": 1}
    assert READERS_OF_ANY[to](out) == [picture(1)]
    if to == "trl":
        return
    text = "".join(path.read_text() for path in out.rglob("*.json*") if path.name != ".gristmill.json")
    assert "An < image>" in text
    assert "Describe it." in text
    assert text.count("<image>") == (to not in {"axolotl", "messages", "unsloth"})


READERS_OF_ANY = {
    **READERS,
    "llava": lambda out: [body for row in _json(out) for body in rules.llava(row, out / "media")[1]],
}


def test_pictures_keep_their_places(tmp_path):
    dataset = shards_of(tmp_path / "d", [[IN_TEXT, SYSTEM, *FOR_ALL[0]]])
    export("llama-factory", dataset, tmp_path / "l")
    rows = rules.lines(tmp_path / "l" / "images.jsonl")
    assert rows[0]["messages"][0]["content"] == "Compare <image> with <image> ."
    assert rows[0]["messages"][2]["content"] == "<image>"
    assert rows[1]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert rows[1]["messages"][1]["content"] == "<image>What?"
    export("unsloth", dataset, tmp_path / "u")
    parts = rules.lines(tmp_path / "u" / "images.jsonl")[0]["messages"][0]["content"]
    assert [part.get("text", "image") for part in parts] == ["Compare", "image", "with", "image", "."]
    export("vila-conversations", shards_of(tmp_path / "e", [[IN_TEXT, VIDEO_TALK]]), tmp_path / "v")
    entries = yaml.safe_load((tmp_path / "v" / "vila.yaml").read_text())
    assert [(entry["_target_"].rpartition(".")[2], entry["is_video"]) for entry in entries.values()] == [
        ("LLaVANextDataset", False),
        ("LLaVADataset", True),
    ]
    (row,) = rules.lines(entries["made_set"]["data_path"])
    first, _, second, _ = rules.vila_head(row, entries["made_set"])
    assert [part if isinstance(part, bytes) else part.strip() for part in first] == [
        "Compare",
        picture(60),
        "with",
        picture(61),
        ".",
    ]
    assert second == [picture(62)]
    (row,) = rules.lines(entries["made_set_made_set_video"]["data_path"])
    assert rules.vila_head(row, entries["made_set_made_set_video"]) == [[VIDEO, "What happens?"], ["A fall."]]


def test_files_by_kinds_have_the_same_columns_in_every_row(tmp_path):
    both = talk(9, "{0}{1}Who?", "She", paths=["v/2.mp4", "9.jpg"], kinds="vi")
    dataset = shards_of(tmp_path / "d", [[*FOR_ALL[0], VIDEO_TALK], [both, *FOR_ALL[1]]])
    for to in ("llama-factory", "swift", "automodel"):
        export(to, dataset, tmp_path / to)
        names = {
            path.name: {tuple(row) for row in rules.lines(path)} for path in (tmp_path / to).glob("*.jsonl")
        }
        assert names == {
            "images.jsonl": {("id", "messages", "images")},
            "videos.jsonl": {("id", "messages", "videos")},
            "images-videos.jsonl": {("id", "messages", "images", "videos")},
            "text.jsonl": {("id", "messages")},
        }
    info = json.loads((tmp_path / "llama-factory" / "dataset_info.json").read_text())
    assert {name: [*entry["columns"]] for name, entry in info.items()} == {
        "made_set": ["messages", "images", "videos"],
        "made_set_images": ["messages", "images"],
        "made_set_videos": ["messages", "videos"],
        "made_set_text": ["messages"],
    }


BAD_NAMES = [
    "../../escaped.jpg",
    "/etc/passwd",
    "a/./b.jpg",
    "a//b.jpg",
    "a\\b.jpg",
    "C:/x.jpg",
    "nul\0.jpg",
    "line\nbreak.jpg",
    ".hidden.jpg",
    ".incoming",
    "-rf",
    "x" * 300 + ".jpg",
    "d/" * 600 + "e.jpg",
    "surrogate\ud800.jpg",
    "trailing.",
    "",
    "http://a.test/x.jpg",
]


def test_names_from_annotations_lead_nowhere(tmp_path):
    rows = [talk(n, "{0}What?", "That.", paths=[name]) for n, name in enumerate(BAD_NAMES)]
    done = export("llava", shards_of(tmp_path / "d", [rows]), tmp_path / "deep" / "er" / "out")
    assert done.samples == len(rows)
    out = tmp_path / "deep" / "er" / "out"
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and out not in path.parents]
    assert all((tmp_path / "d") in path.parents for path in outside)
    names = [row["image"] for row in _json(out)]
    assert names == [f"00000/t_{n:05d}.000.jpg" for n in range(len(rows))]


def test_one_name_for_other_bytes_is_told_apart(tmp_path):
    shards = [
        [
            talk(0, "{0}A?", "B", paths=["x/1.jpg"]),
            talk(1, "{0}A?", "B", paths=["x/1.jpg"]),
            talk(2, "{0}A?", "B", paths=["x/1.jpg"], bodies=[picture(0)]),
            talk(3, "{0}A?", "B", paths=["x"]),
            talk(4, "{0}A?", "B", paths=["x/1.jpg/2.jpg"]),
        ]
    ]
    done = export("llava", shards_of(tmp_path / "d", shards), tmp_path / "out")
    rows = _json(tmp_path / "out")
    for number, row in enumerate(rows):
        assert rules.llava(row, tmp_path / "out" / "media")[1] == [shards[0][number][1]["000.jpg"]]
    assert rows[0]["image"] == rows[2]["image"] == "x/1.jpg"
    assert rows[1]["image"].startswith("x/1-")
    assert done.changed == {"with media named apart from others of the same name upstream": 3}
    export("llava", shards_of(tmp_path / "e", shards), tmp_path / "keys", names="key")
    assert _json(tmp_path / "keys")[0]["image"] == "00000/t_00000.000.jpg"


def test_files_that_lie_there_are_linked(tmp_path):
    tree_of_ours = tmp_path / "playground"
    for name, body in (("coco/train2017/1.jpg", picture(10)), ("a/0.jpg", b"x" * len(picture(50)))):
        (tree_of_ours / name).parent.mkdir(parents=True)
        (tree_of_ours / name).write_bytes(body)
    (tree_of_ours / "b").mkdir()
    (tree_of_ours / "b" / "0.jpg").mkdir()  # a folder, where a file is looked for
    dataset = shards_of(tmp_path / "d", SEVERAL)
    done = export("qwen-vl", dataset, tmp_path / "out", link=str(tree_of_ours))
    assert done.samples == 6
    assert sorted(_qwen(tmp_path / "out")) == sorted([picture(50), picture(51), picture(10), picture(10)])
    media = tmp_path / "out" / "media"
    assert (media / "coco/train2017/1.jpg").samefile(tree_of_ours / "coco/train2017/1.jpg")
    assert not (media / "a/0.jpg").samefile(tree_of_ours / "a/0.jpg")
    with pytest.raises(UsageError, match="no such folder"):
        export("qwen-vl", dataset, tmp_path / "other", link=str(tmp_path / "none"))


def test_a_link_that_a_kill_left_is_not_written_through(tmp_path):
    theirs = tmp_path / "theirs.jpg"
    theirs.write_bytes(b"theirs")
    work = tmp_path / "work"
    work.mkdir()
    (work / ".incoming").hardlink_to(theirs)
    medium = Medium(kind="image", part="000.jpg", body=b"ours", original="x.jpg", as_upstream=True)
    assert MediaFolder(work / "media", work / ".incoming", "original").put("k", 0, medium) == "x.jpg"
    assert theirs.read_bytes() == b"theirs"
    assert (work / "media" / "x.jpg").read_bytes() == b"ours"


@pytest.mark.parametrize("to", ["swift", "trl", "vila-conversations"])
def test_large_media_are_copied_from_where_they_lie(tmp_path, monkeypatch, to):
    monkeypatch.setattr(_dialect, "LARGE_BYTES", 100)
    export(to, shards_of(tmp_path / "d", SEVERAL), tmp_path / "out")
    assert sorted(READERS[to](tmp_path / "out")) == sorted(
        [picture(50), picture(51), picture(10), picture(10)]
    )


def test_a_picture_made_anew_has_the_ending_of_what_it_is(tmp_path):
    sample, bodies = talk(0, "{0}A?", "B", paths=["x/1.png"])
    for stored, name in ((len(bodies["000.jpg"]), "x/1.jpg"), (77, "x/1.png")):
        known = MediaRef(raw_bytes=77, size_bytes=stored)
        dataset = shards_of(tmp_path / name / "d", [[(replace(sample, media={"000.jpg": known}), bodies)]])
        export("llava", dataset, tmp_path / name / "out")
        assert _json(tmp_path / name / "out")[0]["image"] == name


def test_registry_of_vila(tmp_path):
    for name in ("geoqa-plus", "llava-cc3m-595k"):
        dataset = shards_of(tmp_path / name, FOR_ALL, name)
        export("vila-conversations", dataset, tmp_path / "out" / name)
    data = tmp_path / "out" / "geoqa-plus" / "playground" / "data"
    assert [row["id"] for row in rules.lines(data / "geoqa+.jsonl")][:2] == ["t_00001", "t_00000"]
    assert (data / "geoqa+" / "coco" / "train2017" / "1.jpg").is_file()
    entries = yaml.safe_load((tmp_path / "out" / "llava-cc3m-595k" / "vila.yaml").read_text())
    assert list(entries) == ["llava_1_5_mm_align"]
    assert entries["llava_1_5_mm_align"]["data_path"].endswith("LLaVA-Pretrain/LLaVA-CC3M-Pretrain-595K.json")


def test_vila_takes_what_upstream_has_as_conversations_for_json(tmp_path):
    sample, bodies = FOR_ALL[0][1]
    known = replace(sample, upstream={**sample.upstream, "conversations": []})
    export("vila", shards_of(tmp_path / "d", [[(known, bodies)]]), tmp_path / "out")
    assert (tmp_path / "out" / "vila.yaml").exists()
    export("vila", shards_of(tmp_path / "s", FOR_ALL, "sherlock"), tmp_path / "known")
    assert (tmp_path / "known" / "playground/data/sherlock/processed/sherlock_317k.json").exists()
    export("vila", shards_of(tmp_path / "e", [[conversation(1, ["A?", "B"], 1)]]), tmp_path / "pickles")
    assert (tmp_path / "pickles" / "part-00000.pkl").exists()


def test_what_is_there_is_passed_over_and_other_things_are_refused(tmp_path):
    dataset, out = shards_of(tmp_path / "d", FOR_ALL), tmp_path / "out"
    out.mkdir()  # an empty folder will do
    done = export("swift", dataset, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert export("swift", dataset, out) == done
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    for to, options in (("swift", {"names": "key"}), ("llava", {})):
        with pytest.raises(UsageError, match="made of another dataset"):
            export(to, dataset, out, **options)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UsageError, match="not empty"):
        export("swift", dataset, tmp_path / "full")
    with pytest.raises(UsageError, match="original or key"):
        export("swift", dataset, tmp_path / "x", names="mine")
    with pytest.raises(UsageError, match="absolute"):
        export("swift", dataset, tmp_path / "x", root="rel")
    export("swift", dataset, tmp_path / "moved", root="/data/set/")
    row = rules.lines(tmp_path / "moved" / "images.jsonl")[0]
    assert row["images"] == ["/data/set/media/coco/train2017/1.jpg"]


KILLED = """
import os, sys
from pathlib import Path
from gristmill import exports
from gristmill.exports import FinishedShards
from gristmill.ledger.ledger import Ledger
folder, out, left = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
ledger = Ledger(folder)
shards = tuple(record.outputs[0] for record in ledger.shards())
rename = Path.rename
def dying(self, target):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), 9)
    return rename(self, target)
Path.rename = dying
list(exports.find("qwen-vl").export(FinishedShards(folder=folder, shards=shards, name="made-set"), out))
"""


def test_killed_it_goes_on_and_is_whole_or_absent(tmp_path):
    dataset = shards_of(tmp_path / "d", SEVERAL)
    export("qwen-vl", dataset, tmp_path / "once")
    expected = {
        name: body for name, body in tree(tmp_path / "once").items() if "media" in name or "train" in name
    }
    for at in (3, 4):  # the third picture; the whole folder
        out = tmp_path / str(at) / "out"
        out.parent.mkdir()
        _killed(tmp_path / "d", out, at)
        early = {path.stat().st_ino for path in (out.parent / ".out.part").rglob("*.jpg")}
        assert len(early) == at - 1
        assert not out.exists()
        export("qwen-vl", dataset, out)
        assert expected.items() <= tree(out).items()
        now = {path.stat().st_ino for path in out.rglob("*.jpg")}
        assert at == 4 or early <= now  # what was whole was not written again
        assert sorted(path.name for path in out.parent.iterdir()) == ["out"]
        assert [path.name for path in out.glob(".*")] == [".gristmill.json"]


def _killed(folder, out, at):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, folder, out, str(at)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, done.stderr


def test_what_another_left_is_made_anew(tmp_path):
    work = tmp_path / ".out.part"
    (work / "media" / "coco" / "train2017").mkdir(parents=True)
    (work / "media" / "coco" / "train2017" / "1.jpg").write_bytes(b"torn")
    (work / ".begun.json").write_text('{"made_of": {}, "since": "another machine"}')
    export("llava", shards_of(tmp_path / "d", FOR_ALL), tmp_path / "out")
    assert (tmp_path / "out" / "media" / "coco" / "train2017" / "1.jpg").read_bytes() == picture(10)


def test_two_at_once_are_refused(tmp_path):
    dataset = shards_of(tmp_path / "d", FOR_ALL)
    one = exports.find("llava").export(dataset, tmp_path / "out")
    next(one)
    with pytest.raises(UsageError, match="Another export is writing"):
        export("llava", dataset, tmp_path / "out")
    assert list(one)[-1].samples == 5


def test_typed(tmp_path):
    take(write(tmp_path / "in", list(captions(0, 5))), tmp_path / "data")
    words = ("export", tmp_path / "data", "--to", "swift", "--out", tmp_path / "out")
    refused = gristmill(*words, code=2).stderr
    assert "--question" in refused
    assert "--leave-out" in refused
    told = gristmill(*words, "--question", "Describe it.").stdout
    assert f"swift sft \\\n  --model $MODEL \\\n  --dataset {tmp_path}/out/images.jsonl" in told
    plain = json.loads(gristmill(*words, "--question", "Describe it.", "--json").stdout)
    assert plain["samples"] == 5
    assert plain["start"].startswith("swift sft")
    shown = gristmill("export", "--to", "llava", "--help").stdout
    assert "--lines" in shown
    assert "--spread-images" not in shown


def test_names_are_those_of_the_row_or_else_of_the_source(tmp_path):
    made = []
    for n, (upstream, at) in enumerate(
        [
            ({"image": "coco/1.jpg"}, Member("vg", "VG_100K/1.jpg")),
            ({"image": "image.png"}, Member("scienceqa", "train/7/image.png")),
            ({"inputs": {}}, Member("vg", "VG_100K/3.jpg")),
            ({"image": "4.jpg"}, None),
            ({"image": "GCC_1.jpg"}, Member("cc3m", "GCC_1.jpg")),
            ({}, Member("vg", "../5.jpg")),
        ]
    ):
        sample, bodies = talk(n, "{0}What?", "That.", paths=["x.jpg"])
        made.append((replace(sample, media={"000.jpg": MediaRef(at=at)}, upstream=upstream), bodies))
    export("llava", shards_of(tmp_path / "d", [made]), tmp_path / "out")
    assert [row["image"] for row in _json(tmp_path / "out")] == [
        "coco/1.jpg",
        "scienceqa/train/7/image.png",
        "vg/VG_100K/3.jpg",
        "4.jpg",
        "GCC_1.jpg",
        "00000/t_00005.000.jpg",
    ]


def test_a_dialect_of_ones_own_as_the_page_has_it(tmp_path):
    page = (Path(__file__).parents[2] / "docs/how-to/export-to-trainers.md").read_text()
    (tmp_path / "plain.py").write_text(page.rpartition("```python\n")[2].partition("```")[0])
    done = export(str(tmp_path / "plain.py"), shards_of(tmp_path / "d", FOR_ALL), tmp_path / "out")
    assert done.start == f"train {tmp_path}/out/files.txt"
    assert (tmp_path / "out" / "files.txt").read_text().split() == ["images.jsonl", "text.jsonl"]
    row = rules.lines(tmp_path / "out" / "images.jsonl")[0]
    assert row["said"] == ["What is it?", "A cat.", "Sure?", "Yes."]
    assert [Path(path).read_bytes() for path in row["pictures"]] == [picture(10)]
