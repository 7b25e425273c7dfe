"""VILA's pickles into shards: every form and old key, what is dropped and refused, and back again."""

import base64
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from made_pickles import b64, captions, documents, job, questions, take, write
from made_shards import caption, conversation, document, finished, picture
from small_world import NO_MANIFEST, Watcher, totals, tree_of
from vila_loaders import MMC4, Coyo, VFlan

from gristmill.exports import finished_shards
from gristmill.exports.vila import EXPORTER as VILA
from gristmill.ledger.fates import read_fates
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.run_config import RunConfig
from gristmill.run.driver import run
from gristmill.run.maintenance.verify import verify
from gristmill.shards.webdataset import read_samples
from gristmill.spec.errors import DriftError, SourceError

CONFIG = RunConfig(recipe="r", name="r", version="1", identity={}, inputs=())


def samples(folder: Path):
    return [sample for path in sorted((folder / "shards").glob("*.tar")) for sample in read_samples(path)]


def record(sample):
    return json.loads(sample.parts["json"])


def dropped(folder: Path):
    rows = [
        row for batch in read_fates(folder / "fates") for row in pa.Table.from_batches([batch]).to_pylist()
    ]
    return {(row["file"], row["row"]): (row["reason"], row["detail"]) for row in rows if row["reason"]}


def export(folder: Path, out: Path):
    list(VILA.export(finished_shards(folder, CONFIG, Ledger(folder)), out))
    return [item for path in sorted(out.glob("*.pkl")) for item in pickle.loads(path.read_bytes())]


def check(folder: Path):
    result = verify(Ledger(folder), threads=2, tell=lambda so_far: None)
    assert (result.problems, result.remarks) == ([], NO_MANIFEST)
    return result


def test_captions(tmp_path):
    place = write(tmp_path / "in", list(captions(0, 13)), list(captions(13, 25)))
    take(place, tmp_path / "out")
    made = samples(tmp_path / "out")
    assert [sample.key for sample in made] == [f"{n // 13:05d}{n % 13:010d}" for n in range(25)]
    for n, sample in enumerate(made):
        assert set(sample.parts) == {"jpg", "txt", "json"}
        assert sample.parts["jpg"] == picture(n)
        assert sample.parts["txt"].decode() == (f"caption {n}" if n % 2 else f"text {n} <IMAGE>")
        facts = record(sample)
        assert facts["url"] == (None if n % 2 else f"http://a.test/{n}.jpg")
        assert facts["upstream"]["rawbytes" if n % 2 else "image"] is None
        assert facts["width"] == 16 + n
    assert check(tmp_path / "out").pictures == 25
    assert len(list(Coyo(place))) == 6
    export(tmp_path / "out", tmp_path / "again")
    assert [[text for text, _ in group] for group in Coyo(tmp_path / "again")] == [
        [text for text, _ in group] for group in Coyo(place)
    ]


def test_documents(tmp_path):
    place = write(tmp_path / "in", list(documents(0, 14)), list(documents(14, 20)))
    take(place, tmp_path / "out")
    for n, sample in enumerate(samples(tmp_path / "out")):
        pictures = [f"{k:03d}.jpg" for k in range(1 + n % 3)]
        assert list(sample.parts) == [*pictures, "json"]
        facts = record(sample)
        (turn,) = facts["turns"]
        assert turn["role"] == "document"
        assert [part["text"] for part in turn["parts"] if "text" in part] == [
            "One.",
            f"Two <IMAGE> {n}.",  # as the loader reads it
            "Three.",
        ]
        assert facts["changes"] == ["media_token_neutralised_in_document"]
        assert [info["image_base64"] for info in facts["upstream"]["image_info"]] == [None] * len(pictures)
    check(tmp_path / "out")
    assert export(tmp_path / "out", tmp_path / "again") == [*documents(0, 20)]
    assert [text for text, _ in MMC4(tmp_path / "again")] == [text for text, _ in MMC4(place)]


def test_questions(tmp_path):
    place = write(tmp_path / "in", list(questions(0, 21)), list(questions(21, 40)))
    take(place, tmp_path / "out")
    made = samples(tmp_path / "out")
    assert list(made[1].parts) == ["000.jpg", "json"]
    assert record(made[1])["dialogue_context"] == "Image Descriptions: 1"
    assert [turn["role"] for turn in record(made[1])["turns"]] == ["user", "assistant"] * 2
    assert list(made[3].parts) == ["000.jpg", "001.png", "002.jpg", "json"]
    assert made[3].parts["001.png"] == picture(4, "PNG")
    assert list(made[4].parts) == ["json"]
    check(tmp_path / "out")
    again = export(tmp_path / "out", tmp_path / "again")
    for n, (item, was) in enumerate(zip(again, questions(0, 40), strict=True)):
        answer = was.get("answer", was.get("answer:"))
        pictures = was.get("image", [was.get("image:")])
        assert item == {
            "question": was["question"],
            "answer": answer,
            "id": was.get("id", f"{n // 21:05d}{n % 21:010d}"),
            "image": pictures,
        }
    assert [turns for turns, _ in VFlan(tmp_path / "again")] == [turns for turns, _ in VFlan(place)]


ODD = {
    "token in answer": ("Which?", "an <image>"),
    "video": ("<video> which?", "that"),
    "bad characters": ("a\0b", "half \ud800"),
    "no question": (" \n", "so"),
    "no answer": ("Which?", ""),
    "long": ("Which?", "x" * 70_000),
}


@pytest.mark.parametrize("pictures", [0, 1])
def test_text_is_as_clean_as_that_of_recipes(tmp_path, pictures):
    images = [b64(n) for n in range(pictures)]
    items = [{"question": q, "answer": a, "image": images} for q, a in ODD.values()]
    items.append({"question": "<image>\nWhat is in <image>?", "answer": "b", "image": images})
    items.append({"question": "<image>\n", "answer": "b", "image": [b64(1)]})
    place = write(tmp_path / "in", items)
    take(place, tmp_path / "out")
    assert {row: reason for (_, row), (reason, _) in dropped(tmp_path / "out").items()} == {
        3: "empty_question",
        4: "empty_answer",
        5: "text_too_long",
        7: "empty_question",
    }
    done = "removed" if pictures else "neutralised"
    assert totals(tmp_path / "out").changes == {
        "bad_characters_neutralised_in_answer": 1,
        "bad_characters_neutralised_in_question": 1,
        "media_token_neutralised_in_answer": 1,
        "media_token_neutralised_in_question": 2 - pictures,
        **({"media_token_removed_in_question": 1} if pictures else {}),
    }
    made = samples(tmp_path / "out")
    asked = [record(sample)["turns"][0]["parts"][-1]["text"] for sample in made]
    last = "What is in ?" if pictures else "<IMAGE>\nWhat is in <IMAGE>?"
    assert asked == ["Which?", "<VIDEO> which?", "a\ufffdb", last]
    assert record(made[-1])["changes"] == [f"media_token_{done}_in_question"]
    if pictures:  # the loader reads of the export what it reads of the original, but for what misleads it
        export(tmp_path / "out", tmp_path / "again")
        place = write(tmp_path / "good", [items[-2]])
        assert list(VFlan(tmp_path / "again"))[3][0] == next(iter(VFlan(place)))[0]


def test_hygiene_has_its_settings(tmp_path):
    items = [{"question": q, "answer": a, "image": [b64(1)]} for q, a in ODD.values()]
    items.append({"question": "<image>\nWhat?", "answer": "b", "image": [b64(1)]})
    place = write(tmp_path / "in", items)
    drop = {"hygiene.media_tokens": "drop", "hygiene.bad_characters": "drop"}
    take(place, tmp_path / "drop", settings=drop)
    reasons = [reason for reason, _ in dropped(tmp_path / "drop").values()]
    assert reasons[:3] == ["media_token", "media_token", "bad_characters"]
    assert len(samples(tmp_path / "drop")) == 1  # where a picture stands is no text
    keep = {f"hygiene.{name}": "keep" for name in ("media_tokens", "bad_characters", "empty", "long")}
    take(place, tmp_path / "keep", settings=keep)
    assert len(samples(tmp_path / "keep")) == len(items)


def test_a_dialogue_with_the_place_of_its_picture(tmp_path):
    text = "<image>\nImage Descriptions: a\nQuestion: is it?\nAnswer: no\nQuestion: why?"
    take(write(tmp_path / "in", [{"question": text, "answer": "so", "image": [b64(1)]}]), tmp_path / "out")
    (made,) = samples(tmp_path / "out")
    assert record(made)["dialogue_context"] == "Image Descriptions: a"
    assert len(record(made)["turns"]) == 4
    export(tmp_path / "out", tmp_path / "again")
    ((turns, _),) = VFlan(tmp_path / "again")
    assert turns == [("<image>\nis it?", "no"), ("why?", "so")]


@pytest.mark.parametrize(
    "shards",
    [
        [[caption(n, f"t {n}") for n in range(12)], [caption(n) for n in range(12, 15)]],
        [[document(n, ["One.", "Two."], [1, 0, 1], live={0, 2} if n % 2 else None) for n in range(12)]],
        [
            [conversation(n, ["What?", f"It {n}"], n % 9) for n in range(12)],
            [conversation(20, ["a?", "b", "c?", "d"], 1, context="Image Descriptions: x")],
        ],
    ],
    ids=["coyo", "mmc4", "vflan"],
)
def test_out_and_in_and_out_again(tmp_path, shards):
    finished(tmp_path / "d", shards)
    first = export(tmp_path / "d", tmp_path / "first")
    take(tmp_path / "first", tmp_path / "in")
    assert export(tmp_path / "in", tmp_path / "second") == first
    take(tmp_path / "second", tmp_path / "in2")
    assert export(tmp_path / "in2", tmp_path / "third") == first


def test_bad_items_are_counted_with_their_place(tmp_path):
    good = {"question": "q", "answer": "a", "image": [b64(3)]}
    items = [
        good,
        5,
        {"text": "x", "image": b64(1)},
        {**good, "question": 7},
        {**good, "image": ["!" * 3000]},
        {**good, "image": [base64.b64encode(picture(4)[:300]).decode()]},
        {**good, "image": ["PGh0bWw+" * 300]},
        {**good, "image": None},
        {**good, "image": ["photos/a.jpg"]},
        {**good, "deep": [[[[]]]]},
        {"question": "only text", "answer": "a"},
    ]
    take(write(tmp_path / "in", items), tmp_path / "out")
    assert len(samples(tmp_path / "out")) == 3
    found = dropped(tmp_path / "out")
    assert {row: reason for (_, row), (reason, _) in found.items()} == {
        1: "bad_row",
        2: "bad_row",
        3: "bad_row",
        4: "bad_base64",
        5: "truncated",
        6: "not_an_image",
        7: "bad_row",
        8: "no_file",
    }
    assert "not a dict but int" in found["part-00000.pkl", 1][1]
    assert "no 'question', as vflan has" in found["part-00000.pkl", 2][1]
    assert found["part-00000.pkl", 8][1] == "photos/a.jpg"
    notes = [note for record in Ledger(tmp_path / "out").stage("rows") for note in record.notes]
    assert [note.partition(": --images FOLDER")[1] for note in notes] == [": --images FOLDER"]


def test_picture_files_within_the_given_folder_alone(tmp_path):
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    (images / "a.jpg").write_bytes(picture(1))
    (images / "sub" / "b.jpg").write_bytes(picture(2))
    (tmp_path / "outside.jpg").write_bytes(picture(3))
    (images / "link.jpg").symlink_to(tmp_path / "outside.jpg")
    paths = [
        ["a.jpg"],
        "sub/b.jpg",
        [b64(7), "sub/../a.jpg"],
        [str(images / "a.jpg")],
        ["../outside.jpg"],
        ["link.jpg"],
        [str(tmp_path / "outside.jpg")],
        ["absent.jpg"],
        ["nul\0.jpg"],
        ["sub.jpg/"],
    ]
    place = write(tmp_path / "in", [{"question": "q", "answer": "a", "image": path} for path in paths])
    take(place, tmp_path / "out", runtime={"pickles.images": str(images)})
    bodies = [[body for name, body in s.parts.items() if name != "json"] for s in samples(tmp_path / "out")]
    assert bodies == [[picture(1)], [picture(2)], [picture(7), picture(1)], [picture(1)]]
    reasons = {row: reason for (_, row), (reason, _) in dropped(tmp_path / "out").items()}
    assert reasons == {**dict.fromkeys(range(4, 9), "no_file"), 9: "bad_base64"}
    assert not any(record.notes for record in Ledger(tmp_path / "out").stage("rows"))


def test_a_form_may_be_given(tmp_path):
    both = [{"text": "x", "image": b64(1), "question": "q", "answer": "a"}, {"caption": "y", "image": b64(2)}]
    place = write(tmp_path / "in", both)
    take(place, tmp_path / "auto")
    assert [reason for reason, _ in dropped(tmp_path / "auto").values()] == ["bad_row"]
    take(place, tmp_path / "coyo", settings={"pickles.form": "coyo"})
    assert len(samples(tmp_path / "coyo")) == 2


@pytest.mark.slow
def test_a_file_of_rubbish_is_counted_without_a_table_for_each_item(tmp_path):
    items = [{"caption": "x", "rawbytes": picture(1)}, *[{"x": n} for n in range(5000)]]
    place = write(tmp_path / "in", items, list(captions(0, 1500)))
    take(place, tmp_path / "out", only=2)
    assert len(samples(tmp_path / "out")) == 3
    found = dropped(tmp_path / "out")
    reasons = [reason for reason, _ in found.values()]
    assert (reasons.count("bad_row"), reasons.count("not_chosen")) == (5000, 1498)
    assert sum(bool(detail) for _, detail in found.values()) == 1000


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("canary"),)


def test_what_follows_a_pickled_list_is_said(tmp_path):
    place = write(tmp_path / "in", list(captions(0, 3)), list(captions(3, 5)))
    one, other = sorted(place.glob("*.pkl"))
    one.write_bytes(one.read_bytes() + other.read_bytes())
    run(job(place, tmp_path / "out"), Watcher())
    notes = [note for record in Ledger(tmp_path / "out").stage("rows") for note in record.notes]
    assert notes == [
        f"{one.name}: {other.stat().st_size:,} bytes follow the list and were not read; "
        "pickle.load passes over them too"
    ]


def test_a_hostile_pickle_among_good_ones_is_refused_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = write(
        tmp_path / "in", list(captions(0, 5)), [{"text": "x", "image": Evil()}], list(captions(5, 9))
    )
    with pytest.raises(SourceError, match=r"part-00001\.pkl: byte \d+: refused, it wants to run .*touch"):
        run(job(place, tmp_path / "out"), Watcher())
    assert not Path("canary").exists()
    done = {record.number[1] for record in Ledger(tmp_path / "out").stage("samples")}
    assert done == {0, 2}
    with pytest.raises(SourceError):  # and again
        run(job(place, tmp_path / "out", workers=2), Watcher())
    assert not Path("canary").exists()
    with pytest.raises(SourceError):
        run(job(write(tmp_path / "in2", [Evil()], protocol=0), tmp_path / "out2"), Watcher())
    assert not Path("canary").exists()


def test_a_pickle_that_is_cut_off(tmp_path):
    place = write(tmp_path / "in", list(captions(0, 20)), list(captions(20, 26)))
    path = place / "part-00000.pkl"
    path.write_bytes(path.read_bytes()[:4500])
    with pytest.raises(SourceError, match=r"part-00000\.pkl: byte [\d,]+: cut off.*ends at byte 4,500"):
        run(job(place, tmp_path / "out"), Watcher())
    take(place, tmp_path / "kept", settings={"pickles.damaged": "keep"})
    kept = len(samples(tmp_path / "kept")) - 6
    assert 0 < kept < 20
    assert {row: reason for (_, row), (reason, _) in dropped(tmp_path / "kept").items()} == {
        kept: "truncated"
    }
    (notes,) = [record.notes for record in Ledger(tmp_path / "kept").stage("rows") if record.notes]
    assert f"The {kept} items before were kept" in notes[0]
    assert f"says '20', the pickle holds {kept + 1} items" in notes[1]


@pytest.mark.slow
def test_the_same_bytes_whatever_the_workers_and_parts(tmp_path):
    place = write(tmp_path / "in", list(questions(0, 33)), list(questions(33, 50)))
    take(place, tmp_path / "one")
    take(place, tmp_path / "two", workers=2, settings={"pickles.part_bytes": "6000"})
    take(place, tmp_path / "three", settings={"pickles.part_rows": "7"})
    assert tree_of(tmp_path / "one") == tree_of(tmp_path / "two") == tree_of(tmp_path / "three")
    parts = [record.outputs for record in Ledger(tmp_path / "two").stage("rows")]
    assert sum(shard.role == "part" for outputs in parts for shard in outputs) > 4


def test_parts_hold_no_picture(tmp_path):
    place = write(
        tmp_path / "in", [{"caption": "x", "rawbytes": picture(1) + bytes(100_000)} for _ in range(20)]
    )
    take(place, tmp_path / "out")
    parts = list((tmp_path / "out" / ".gristmill" / "parts").glob("*.parquet"))
    assert sum(path.stat().st_size for path in parts) < 20_000


def test_pickles_changed_under_way_are_noticed(tmp_path):
    place = write(tmp_path / "in", list(captions(0, 8)))
    run(job(place, tmp_path / "out", last="rows"), Watcher())
    path = place / "part-00000.pkl"
    body = path.read_bytes()
    path.write_bytes(body[:1000])
    with pytest.raises(DriftError):
        run(job(place, tmp_path / "out"), Watcher())
    path.write_bytes(body)
    take(place, tmp_path / "out")
