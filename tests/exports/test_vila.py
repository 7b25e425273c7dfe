"""VILA's folders, read by VILA's rules."""

import base64
import json
import pickle
import pickletools
import re

import pytest
from made_shards import caption, conversation, document, finished, picture
from vila_loaders import MMC4, TOKEN, Coyo, VFlan

from gristmill.exports import FinishedShards
from gristmill.exports.vila import Vila
from gristmill.exports.vila_conversations import REGISTRY, VilaConversations
from gristmill.exports.vila_unsharded import VilaUnsharded
from gristmill.spec.errors import UsageError
from gristmill.storage.files import whole_file


def parts(folder, infos, out, **options):
    return list(Vila(**options).export(FinishedShards(folder=folder, shards=tuple(infos)), out))[-1]


def whole(folder, infos, out, name):
    shards = FinishedShards(folder=folder, shards=tuple(infos))
    return list(VilaUnsharded(name=name).export(shards, out))[-1]


def tree(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def items(path):
    return pickle.loads(path.read_bytes())


DOCUMENTS = [
    [document(n, ["One.", f"Two of {n}.", "Three."], [2, 0] if n % 2 else [1, 1, 2]) for n in range(5)],
    [document(n, [f"A <image> of {n}.", "B."], [1]) for n in range(5, 9)],
    [document(n, [str(i) for i in range(9)], list(range(9))) for n in range(9, 11)],
]
QUESTIONS = [
    [conversation(n, ["What is it?", "A cat."], n % 3) for n in range(6)],
    [
        conversation(6, ["Look.\n<image>\nNow?", "Yes."], 8),
        conversation(
            7, ["Is it red?", "no", "Is it blue?", "yes"], 1, context="Image Descriptions: a car.\nOn a road."
        ),
        conversation(8, ["Is it red?", "no", "Why?", "I see"], 1, context="You see a picture."),
        conversation(9, ["Name it.", "Tom"], 1, kind="PNG"),
    ],
    [conversation(n, ["2 + 2?", "4"]) for n in range(10, 14)],
]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_captions_for_the_coyo_loader(tmp_path, ranks):
    shards = [[caption(n, f"text <image> {n}") for n in range(s, s + 7)] for s in (0, 7, 14)]
    done = parts(tmp_path / "d", finished(tmp_path / "d", shards), tmp_path / "out")
    assert (done.form, done.shards, done.samples, done.left_out) == ("coyo", 3, 21, 0)
    seen = [
        text for rank in range(ranks) for group in Coyo(tmp_path / "out", rank, ranks) for text, _ in group
    ]
    expected = {1: 20, 2: 8, 3: 12}[ranks]
    assert len(seen) == len(set(seen)) == expected
    assert seen[0] == f"{TOKEN}text <IMAGE> 0</s>"
    first = items(tmp_path / "out" / "part-00000.pkl")[0]
    assert first == {
        "id": 0,
        "url": "http://a.test/0.jpg",
        "text": "text <image> 0",
        "clip_sim": 0.5,
        "image": base64.b64encode(picture(0)).decode(),
    }


@pytest.mark.parametrize("ranks", [1, 3])
def test_documents_for_the_mmc4_loader(tmp_path, ranks):
    done = parts(tmp_path / "d", finished(tmp_path / "d", DOCUMENTS), tmp_path / "out")
    assert (done.form, done.samples) == ("mmc4", 11)
    loaders = [MMC4(tmp_path / "out", rank, ranks) for rank in range(ranks)]
    assert sum(loader.per_rank for loader in loaders) == {1: 11, 3: 6}[ranks]
    text, images = next(iter(loaders[0]))
    assert text == f"One.{TOKEN}{TOKEN}Two of 0.{TOKEN}Three.</s>"
    assert [image.width for image in images] == [16, 17, 18]
    last_text, last_images = list(loaders[-1])[-1]
    if ranks == 3:
        assert last_text.startswith(f"{TOKEN}0{TOKEN}1{TOKEN}2")
        assert len(last_images) == 6


def test_a_document_is_its_upstream_row_and_the_pictures(tmp_path):
    made = DOCUMENTS[0][1]
    parts(tmp_path / "d", finished(tmp_path / "d", [[made]]), tmp_path / "out")
    (item,) = items(tmp_path / "out" / "part-00000.pkl")
    bodies = [info.pop("image_base64") for info in item["image_info"]]
    assert item == made[0].upstream
    assert [base64.b64decode(body) for body in bodies] == list(made[1].values())


def test_a_matrix_with_rows_to_spare_is_cut_and_one_without_is_made(tmp_path):
    spare, short = document(1, ["One.", "Two."], [0, 1, 0], live={0, 2}), document(2, ["One."], [0, 0])
    spare[0].upstream["similarity_matrix"].append([9.0, 9.0])
    short[0].upstream["similarity_matrix"] = None
    parts(tmp_path / "d", finished(tmp_path / "d", [[spare, short]]), tmp_path / "out")
    first, second = items(tmp_path / "out" / "part-00000.pkl")
    rows = spare[0].upstream["similarity_matrix"]
    assert first["similarity_matrix"] == [rows[0], rows[2]]
    assert second["similarity_matrix"] == [[0.0], [0.0]]
    assert len(list(MMC4(tmp_path / "out"))) == 2


@pytest.mark.parametrize("upstream", [True, False])
def test_pictures_that_did_not_come_are_gone_from_indices_and_matrix(tmp_path, upstream):
    made = document(3, ["One.", "Two.", "Three."], [2, 0, 1, 2], live={0, 2, 3}, upstream=upstream)
    parts(tmp_path / "d", finished(tmp_path / "d", [[made]]), tmp_path / "out")
    (item,) = items(tmp_path / "out" / "part-00000.pkl")
    assert [info["matched_text_index"] for info in item["image_info"]] == [2, 1, 2]
    assert len(item["similarity_matrix"]) == 3
    if upstream:
        whole = made[0].upstream["similarity_matrix"]
        assert item["similarity_matrix"] == [whole[0], whole[2], whole[3]]
        assert [info["image_name"] for info in item["image_info"]] == ["00030.png", "00032.png", "00033.png"]
    ((text, images),) = MMC4(tmp_path / "out")
    assert text == f"One.{TOKEN}Two.{TOKEN}{TOKEN}Three.</s>"
    assert [image.width for image in images] == [16 + 32, 16 + 30, 16 + 33]


def test_questions_for_the_vflan_loader(tmp_path):
    done = parts(tmp_path / "d", finished(tmp_path / "d", QUESTIONS), tmp_path / "out")
    assert (done.form, done.samples) == ("vflan", 14)
    seen = list(VFlan(tmp_path / "out"))
    assert seen[0][0] == [("What is it?", "A cat.")]
    assert seen[2][0] == [(f"{TOKEN}\n{TOKEN}\nWhat is it?", "A cat.")]
    assert seen[6][0] == [(f"{TOKEN}\n" * 8 + "Look.\nNow?", "Yes.")]
    assert seen[7][0] == [(f"{TOKEN}\nIs it red?", "no"), ("Is it blue?", "yes")]
    question = "You see a picture.\nQuestion: Is it red?\nAnswer: no\nQuestion: Why?"
    assert seen[8][0] == [(f"{TOKEN}\n{question}", "I see")]
    assert [image.width for image in seen[6][1]] == [16 + 60 + i for i in range(8)]
    assert items(tmp_path / "out" / "part-00002.pkl")[0] == {
        "question": "2 + 2?",
        "answer": "4",
        "id": "q_00000010",
        "image": [],
    }
    for ranks in (2, 3):
        assert [VFlan(tmp_path / "out", rank, ranks).per_rank for rank in range(ranks)] == [4] * ranks


def test_one_pickle_for_a_whole_dataset(tmp_path):
    infos = finished(tmp_path / "d", QUESTIONS)
    done = whole(tmp_path / "d", infos, tmp_path / "out", "vqa_toy_train")
    assert (done.shards, done.samples) == (3, 14)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["vqa_toy_train.pkl"]
    other = finished(tmp_path / "e", [QUESTIONS[2]])
    whole(tmp_path / "e", other, tmp_path / "out", "math")
    assert len(list(VFlan(tmp_path / "out"))) == 18
    before = tree(tmp_path / "out")
    assert whole(tmp_path / "d", infos, tmp_path / "out", "vqa_toy_train").samples == 14
    assert tree(tmp_path / "out") == before
    with pytest.raises(UsageError, match="made of something else"):
        whole(tmp_path / "e", other, tmp_path / "out", "vqa_toy_train")
    parts(tmp_path / "d", infos, tmp_path / "sharded")
    with pytest.raises(UsageError, match=r"a \.count would make it look for parts"):
        whole(tmp_path / "d", infos, tmp_path / "sharded", "x")
    captions = finished(tmp_path / "c", [[caption(1)]])
    with pytest.raises(UsageError, match="coyo loader"):
        whole(tmp_path / "c", captions, tmp_path / "out", "x")


def test_killed_between_any_two_files_it_ends_with_the_same_bytes(tmp_path, monkeypatch):
    infos = finished(tmp_path / "d", DOCUMENTS)
    parts(tmp_path / "d", infos, tmp_path / "whole")
    for files in range(6):
        out, left = tmp_path / f"out{files}", [files]

        def failing(path, left=left):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return whole_file(path)

        with monkeypatch.context() as patch:
            patch.setattr("gristmill.storage.local.whole_file", failing)
            patch.setattr("gristmill.storage.files.whole_file", failing)
            with pytest.raises(KeyboardInterrupt):
                parts(tmp_path / "d", infos, out)
        assert len(list(out.iterdir())) == files
        parts(tmp_path / "d", infos, out)
        assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.parametrize(
    ("made", "said", "kind"),
    [
        (conversation(77, ["Q", "A"], 9), "has 9 pictures", "too_many_pictures"),
        (conversation(77, ["Q", "A", "Q", "A"]), "2 questions and no dialogue_context", "several_turns"),
        (conversation(77, ["Q", "see <image>"]), "in its answer", "token_in_answer"),
        (conversation(77, ["Image Descriptions?", "A"]), "takes for a visual dialogue", "not_a_dialogue"),
        (
            conversation(77, ["q", "a", "q", "a"], 2, context="Image Descriptions: x"),
            "takes for a visual dialogue",
            "not_a_dialogue",
        ),
        (conversation(77, ["q\nAnswer: x", "a"], 1, context="c"), "within a turn", "dialogue_marks"),
        (conversation(77, ["q", "a", "q"]), "user, assistant, user", "turns_do_not_alternate"),
    ],
)
def test_questions_that_the_loader_would_stumble_over(tmp_path, made, said, kind):
    infos = finished(tmp_path / "d", [[QUESTIONS[0][0], made, QUESTIONS[0][1]], QUESTIONS[2]])
    with pytest.raises(UsageError, match=rf"00000\.tar: sample q_00000077 .*{said}.*--leave-out"):
        parts(tmp_path / "d", infos, tmp_path / "out")
    for _ in range(2):  # the second time all parts are there
        done = parts(tmp_path / "d", infos, tmp_path / "out", leave_out=True)
        assert (done.samples, done.left_out) == (6, 1)
    assert len(list(VFlan(tmp_path / "out"))) == 6
    done = parts(tmp_path / "d", infos, tmp_path / "again", leave_out=True)
    assert done.reasons == {kind: 1}


def test_more_than_eight_pictures_spread_evenly(tmp_path):
    infos = finished(tmp_path / "d", [[conversation(n, ["Q", "A"], n) for n in (8, 9, 30)]])
    with pytest.raises(UsageError, match="--spread-images"):
        parts(tmp_path / "d", infos, tmp_path / "out")
    done = parts(tmp_path / "d", infos, tmp_path / "out", spread_images=True)
    assert done.changed == {"with 8 of their pictures, spread evenly": 2}
    names = [
        [base64.b64decode(body) for body in item["image"]]
        for item in items(tmp_path / "out" / "part-00000.pkl")
    ]
    taken = [list(range(8)), [0, 1, 2, 3, 4, 5, 6, 8], [0, 4, 8, 12, 16, 20, 24, 29]]
    assert names == [
        [picture(10 * n + i) for i in places] for n, places in zip((8, 9, 30), taken, strict=True)
    ]
    assert len(list(VFlan(tmp_path / "out"))) == 3


def test_documents_that_the_loader_would_stumble_over(tmp_path):
    bare = document(1, ["One."], [])
    lost = document(2, ["One."], [0])
    lost[0].upstream["image_info"][0]["matched_text_index"] = 1
    for number, made in enumerate((bare, lost)):
        infos = finished(tmp_path / f"d{number}", [[made, *DOCUMENTS[0]]])
        with pytest.raises(UsageError, match="--leave-out"):
            parts(tmp_path / f"d{number}", infos, tmp_path / f"o{number}")
        done = parts(tmp_path / f"d{number}", infos, tmp_path / f"o{number}", leave_out=True)
        assert (done.samples, done.left_out) == (5, 1)
        assert len(list(MMC4(tmp_path / f"o{number}"))) == 5


@pytest.mark.parametrize(
    ("first", "second"), [(caption(1), DOCUMENTS[0][0]), (DOCUMENTS[0][0], QUESTIONS[0][0])]
)
def test_a_folder_holds_one_form(tmp_path, first, second):
    infos = finished(tmp_path / "d", [[first], [second]])
    with pytest.raises(UsageError, match="a folder holds one form"):
        parts(tmp_path / "d", infos, tmp_path / "out")


def test_parts_of_another_dataset_or_manner_are_refused(tmp_path):
    infos = finished(tmp_path / "d", DOCUMENTS)
    parts(tmp_path / "d", infos, tmp_path / "out")
    other = finished(tmp_path / "e", [DOCUMENTS[1], DOCUMENTS[0], DOCUMENTS[2]])
    with pytest.raises(UsageError, match=r"part-00000\.pkl was made of another dataset"):
        parts(tmp_path / "e", other, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert parts(tmp_path / "d", infos, tmp_path / "out", leave_out=True).left_out == 0  # nothing had to be
    assert tree(tmp_path / "out") == before
    (tmp_path / "out" / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"'notes\.txt': VILA's loader counts"):
        parts(tmp_path / "d", infos, tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        parts(tmp_path / "d", infos, tmp_path / "file")


def test_the_stamp_is_seen_by_no_reader(tmp_path, capsys):
    infos = finished(tmp_path / "d", [QUESTIONS[2]])
    parts(tmp_path / "d", infos, tmp_path / "out")
    body = (tmp_path / "out" / "part-00000.pkl").read_bytes()
    pickletools.dis(body)  # checks the stack at every opcode
    shown = capsys.readouterr().out
    assert "GLOBAL" not in shown
    assert "REDUCE" not in shown
    assert [item["id"] for item in pickle._loads(body)] == [f"q_{n:08d}" for n in range(10, 14)]
    assert json.loads(body[7 : body.index(b"0]")])["form"] == "vflan"


def test_the_last_answer_may_hold_the_words_that_separate_turns(tmp_path):
    """The loader cuts the question alone."""
    made = conversation(0, ["q", "a", "q2", "x\nQuestion: y"], 1, context="Image Descriptions: z")
    parts(tmp_path / "d", finished(tmp_path / "d", [[made]]), tmp_path / "out")
    (item,) = pickle.loads((tmp_path / "out" / "part-00000.pkl").read_bytes())
    assert item["answer"] == "x\nQuestion: y"


RELEASE = {
    "1_mm_align.sh": "llava_1_5_mm_align",
    "2_pretrain_mmc4_coyo.sh": "coyo_25m+mmc4core+sharegpt4v_pretrain",
    "3_sft.sh": "sharegpt4v_gpt4_100k+llava_instruct+sharegpt4v_sft+dvqa_train_200k+chartqa_train_18k+ai2d_train_12k"
    "+docvqa_train_10k+geoqa+synthdog_en+vflan+scienceqa+sherlock+math+wit_subset+youcook2+vatex+video_chatgpt"
    "+shot2story_shotonly+sharegpt_video",
}
"""What the scripts of VILA's release give as ``--data_mixture``."""


def test_every_name_that_the_release_asks_for_is_registered(tmp_path):
    """By ``vila`` for pickles, by ``vila-conversations`` for the others."""
    given = {name for name, *_ in REGISTRY.values()}
    infos = finished(tmp_path / "talk", QUESTIONS[2:])
    talk = FinishedShards(folder=tmp_path / "talk", shards=tuple(infos), name="sharegpt4v-cap100k")
    *_, _ = VilaConversations().export(talk, tmp_path / "json")
    assert 'dataset_name="sharegpt4v_gpt4_100k"' in (tmp_path / "json/add_dataset.py").read_text()
    given.add("sharegpt4v_gpt4_100k")
    made_of = {
        "coyo-700m": [[caption(1)]],
        "mmc4-core": DOCUMENTS,
        "vflan": QUESTIONS,
        "gsm8k-screl": QUESTIONS,
    }
    for name, shards in made_of.items():
        infos = finished(tmp_path / name, shards)
        dataset = FinishedShards(folder=tmp_path / name, shards=tuple(infos), name=name)
        for exporter in (Vila(), VilaUnsharded()):
            if name in ("vflan", "gsm8k-screl") or isinstance(exporter, Vila):
                out = tmp_path / f"{name}-{type(exporter).__name__}"
                *_, done = exporter.export(dataset, out)
                loader = {"coyo-700m": "coyo", "mmc4-core": "mmc4"}.get(name, "vflan")
                assert f'dataset_type="{loader}", data_path="{out}"' in done.start
        given.add(done.start.split()[-1])
    asked = {name for mixture in RELEASE.values() for name in mixture.split("+")}
    assert asked <= given
    assert not any("+" in name for name in given)


def test_two_datasets_in_one_tree_with_one_root_of_pictures_and_other_bytes_of_one_name(tmp_path):
    """The second stage's pictures are those of the third; a name that has other bytes there ends it."""
    found = {}
    for name, numbers in (("sharegpt4v-pretrain", (0, 1)), ("sharegpt4v-mix738k", (0, 2))):
        made = [conversation(n, ["What is it?", f"A {n}."], 1) for n in numbers]
        infos = finished(tmp_path / name, [made])
        found[name] = FinishedShards(folder=tmp_path / name, shards=tuple(infos), name=name)
    mixture = FinishedShards(folder=tmp_path, shards=(), name="mine", parts=("sharegpt4v-mix738k", "gone"))
    exporter, out = Vila(), tmp_path / "out"
    for dataset in found.values():
        writer, place = exporter.among(dataset, out)
        list(writer.export(dataset, place))
    for _ in range(2):
        done = exporter.join([*found.values(), mixture], out)
        assert done.notes == ["mine lacks here: gone"]
    data = out / "playground/data"
    assert (data / "ShareGPT4V/data").resolve() == data.resolve()
    for line in (out / "add_dataset.py").read_text().splitlines()[1:]:
        said = dict(re.findall(r'(\w+)="([^"]*)"', line))
        rows = json.loads((out / said["data_path"]).read_text())
        assert len(rows) == 2
        assert all((out / said["image_path"] / name).is_file() for row in rows for name in row["image"])
    assert (out / "mixtures.yaml").read_text().endswith('"mine":\n- sharegpt4v_sft\n')
    assert "--data_mixture sharegpt4v_sft " in done.start
    taken = next(path for path in data.rglob("*.jpg"))
    taken.unlink()
    taken.write_bytes(b"other")
    with pytest.raises(UsageError, match="is there with other bytes"):
        exporter.join([*found.values(), mixture], out)
