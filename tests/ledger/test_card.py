from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin

import orjson
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "viewer"))
from made_dataset import (
    EVIL,
    Made,
    make_dataset,
    photographs,
    write_card,
    write_croissant,
    write_manifest,
    write_report,
)

from gristmill.ledger.card import card, command
from gristmill.ledger.croissant import croissant
from gristmill.ledger.features import features, printed, shape_of
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.losses import ADVICE, LossGroup, Phase, explained, group_of, grouped, phase_of
from gristmill.ledger.manifest import manifest, shards_of
from gristmill.ledger.totals import total
from gristmill.ledger.words import duration_text, share_text, size_text
from gristmill.shards.shape import Shape
from gristmill.shards.webdataset import TarWriter, read_samples
from gristmill.spec.reasons import PERMANENT, TRANSIENT, Reason
from gristmill.spec.recipe import Built
from gristmill.spec.task import ShardInfo, TaskRecord


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_dataset(tmp_path_factory.mktemp("made"))


def levels_of(made: Made) -> Funnel:
    return funnel(total(made.ledger.records.values()), made.config)


def adds_up(levels: Funnel) -> bool:
    pairs = zip(levels.levels, levels.levels[1:], strict=False)
    return all(a.count == b.count + a.lost_count + a.waiting for a, b in pairs)


def front_matter(made: Made) -> dict:
    _, text, _ = card(made.recipe, made.config, made.ledger).split("---\n", 2)
    return yaml.safe_load(text)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained_and_belongs_to_one_group(reason: Reason) -> None:
    assert explained(reason) != reason
    assert sum(reason in reasons for reasons in grouped({reason: 1}).values()) == 1
    assert phase_of(reason) in Phase
    assert group_of(reason) in ADVICE


def test_what_is_asked_again_is_never_called_gone() -> None:
    assert {group_of(r) for r in TRANSIENT} <= {LossGroup.LATER, LossGroup.OURS}
    assert {group_of(r) for r in PERMANENT} == {LossGroup.NEVER}
    assert group_of("a_reason_of_a_later_version") is LossGroup.NEVER


def test_funnel_adds_up_to_upstream_and_agrees_with_the_shards(made: Made) -> None:
    levels = levels_of(made)
    assert adds_up(levels)
    assert levels.adds_up
    assert levels.complete
    assert levels.count("annotated") == 1200
    assert levels.count("selected") == 240
    in_shards = sum(1 for s in shards_of(made.ledger) for _ in read_samples(made.folder / s.path))
    assert levels.count("packed") == in_shards == levels.count("kept")
    assert levels.count("annotated") == in_shards + sum(levels.dropped().values())


def test_a_retry_moves_samples_instead_of_counting_them_twice(made: Made) -> None:
    first = [r for r in made.ledger.records.values() if r.number[0] == 0]
    healed = TaskRecord(
        task_id="f" * 16,
        stage="samples",
        account="making",
        number=(1, 1, 0),
        outputs=(),
        samples_in=3,
        kept=2,
        dropped={"http_404": 1},
        retried={"http_429": 2, "connect_timeout": 1},
    )
    before = funnel(total(first), made.config)
    after = funnel(total([*first, healed]), made.config)
    assert adds_up(after)
    assert after.count("annotated") == before.count("annotated")
    assert after.count("kept") == before.count("kept") + 2
    assert after.levels[4].waiting == 2
    assert not after.complete


def test_half_a_run_says_what_waits(made: Made) -> None:
    some = [r for r in made.ledger.records.values() if r.stage == "rows"]
    some += [r for r in made.ledger.stage("samples") if r.number == (0, 0, 0)]
    levels = funnel(total(some), made.config)
    assert adds_up(levels)
    assert levels.levels[1].waiting == 120
    assert levels.levels[4].waiting == levels.count("kept") > 0
    assert not levels.complete
    later = funnel(total(some[1:]), made.config)  # a record that is not yet seen
    assert adds_up(later)
    assert later.files_read == 1


def test_numbers_that_do_not_add_up_are_noticed(made: Made) -> None:
    extra = TaskRecord(
        task_id="e" * 16,
        stage="samples",
        account="making",
        number=(0, 9, 0),
        outputs=(),
        samples_in=7,
        kept=7,
    )
    levels = funnel(total([*made.ledger.records.values(), extra]), made.config)
    assert not levels.adds_up
    assert levels.count("annotated") == 1207


def test_manifest_is_the_same_for_the_same_records(made: Made) -> None:
    first = write_manifest(made.folder, made.recipe, made.config, made.ledger).read_bytes()
    assert write_manifest(made.folder, made.recipe, made.config, Ledger(made.folder)).read_bytes() == first
    said = orjson.loads(first)
    assert said["complete"] is True
    assert said["finished_at"] == "2026-01-01T00:15:03Z"
    assert [s["path"] for s in said["shards"]] == [f"shards/{i:05d}.tar" for i in range(3)]
    assert said["counts"]["packed"] == sum(s["samples"] for s in said["shards"])
    assert said["steps"][1]["allow"] == ["jpeg", "png"]
    assert said["sources"][0]["revision"] == made.recipe.sources[0].revision
    assert len(said["sources"][0]["inputs"]) == 2


def test_manifest_of_very_many_files_holds_their_digest_only(made: Made) -> None:
    one = made.config.inputs[0]
    many = replace(made.config, inputs=tuple(replace(one, name=f"{i}.parquet") for i in range(1001)))
    source = manifest(made.recipe, many, made.ledger)["sources"][0]
    assert source["files"] == 1001
    assert "inputs" not in source
    other = replace(many, inputs=(*many.inputs[:-1], replace(one, name="other.parquet")))
    assert manifest(made.recipe, other, made.ledger)["sources"][0]["listing"] != source["listing"]


def test_card_declares_every_key_of_every_sample(made: Made) -> None:
    front = front_matter(made)
    declared = {field["name"]: field for field in front["dataset_info"]["features"]}
    assert list(declared) == ["jpg", "txt", "json", "__key__", "__url__"]
    keys = {field["name"] for field in declared["json"]["struct"]}
    upstream = next(f for f in declared["json"]["struct"] if f["name"] == "upstream")["struct"]
    for shard in shards_of(made.ledger):
        for sample in read_samples(made.folder / shard.path):
            record = orjson.loads(sample.parts["json"])
            assert set(record) == keys - {"not_finite"}
            assert set(record["upstream"]) == {field["name"] for field in upstream}
    assert {"name": "tags", "list": "string"} in upstream  # empty in the first samples
    assert {"name": "watermark_score", "dtype": "float64"} in upstream  # null in the first samples
    assert front["license"] == "cc-by-4.0"
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "shards/*.tar"}]


def test_features_come_off_the_shards_where_a_record_says_nothing_of_them(made: Made) -> None:
    said = shape_of(made.ledger)
    mute = Ledger(made.folder)
    mute.records.update({id: replace(record, shape="") for id, record in mute.records.items()})
    assert features(shape_of(mute)) == features(said)
    whole = next(f for f in features(said) if f["name"] == "json")["struct"]
    upstream = next(f for f in whole if f["name"] == "upstream")["struct"]
    assert {"name": "id", "dtype": "int64"} in upstream
    assert {"name": "clip_sim", "dtype": "float64"} in whole


def shape_of_parts(*samples: list[str]) -> Shape:
    shape = Shape()
    for parts in samples:
        shape.take((part, b"{}") for part in parts)
    return shape


@pytest.mark.parametrize(
    ("samples", "taken"),
    [
        ([["jpg", "txt", "json"]], '"pil").to_tuple("jpg", "txt", "json")'),
        ([["json"]], '"pil").to_tuple("json")'),
        ([["jpg", "json"], ["png", "json"]], '"pil").to_tuple("jpg;png", "json")'),
        ([["jpg", "json"], ["json"]], '"pil")'),
        ([["jpg", "txt", "json"], ["jpg", "json"]], '"pil").to_tuple("jpg", "json")'),
        ([["000.jpg", "json"]], '"pil")'),
        ([["webp", "json"]], 'wds.imagehandler("pil", ["webp"])).to_tuple("webp", "json")'),
    ],
)
def test_how_to_load_asks_no_sample_for_what_it_may_not_have(
    made: Made, monkeypatch: pytest.MonkeyPatch, samples: list, taken: str
) -> None:
    monkeypatch.setattr("gristmill.ledger.card.shape_of", lambda *given: shape_of_parts(*samples))
    text = card(made.recipe, made.config, made.ledger)
    assert f".decode({taken}\n" in text
    assert ("Samples differ in their parts" in text) == (len(samples) > 1)
    assert ("`turns`" in text) == (samples[0][0] in ("json", "000.jpg"))


def test_card_changes_with_what_the_shards_hold(made: Made) -> None:
    """The library finds what it has prepared by the card alone."""
    front = front_matter(made)
    assert front["dataset_info"]["splits"] == [
        {
            "name": "train",
            "num_bytes": sum(s.size_bytes for s in shards_of(made.ledger)),
            "num_examples": sum(s.samples for s in shards_of(made.ledger)),
        }
    ]
    other = Ledger(made.folder)
    record = other.shards()[-1]
    changed = replace(record.outputs[0], digest="0" * 64)  # as many samples and bytes, but others
    other.records[record.task_id] = replace(record, outputs=(changed,))
    assert front_matter(replace(made, ledger=other))["configs"] != front["configs"]


def test_column_names_that_yaml_would_fold_or_refuse_stay_as_they_are(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["yes", "~", "a\x7fb", "a\x85b", "a\u2028b", "\ufeff", "é", "😀", "a: b", "'", '"', ""]
    shape = Shape()
    shape.take([("json", orjson.dumps({"upstream": dict.fromkeys(names, 1)}))])
    monkeypatch.setattr("gristmill.ledger.card.shape_of", lambda *given: shape)
    upstream = front_matter(made)["dataset_info"]["features"][0]["struct"][0]["struct"]
    assert [field["name"] for field in upstream] == names


def test_card_tells_the_funnel_and_survives_hostile_words(made: Made) -> None:
    hostile = replace(
        made.recipe,
        title='x"\n---\nevil: [1',
        license="Own terms: see page",
        redistribution="nothing",
    )
    hostile_made = replace(made, recipe=hostile)
    assert front_matter(hostile_made)["pretty_name"] == 'x"\n---\nevil: [1'
    assert front_matter(hostile_made)["license"] == "other"
    assert front_matter(hostile_made)["license_name"] == "own-terms-see-page"
    text = write_card(made.folder, made.recipe, made.config, made.ledger).read_text()
    levels = levels_of(made)
    for level in levels.levels:
        assert f"| {level.title} | {level.count:,} |" in text
    for reason, n in levels.dropped(after_selection=True).items():
        assert f"| `{reason}` | {n:,} | {share_text(n, levels.count('selected'))} |" in text
    assert f"Shares are of the {levels.count('selected'):,} samples chosen." in text
    assert "gristmill run made-up --out DIR --set crawl.size_px=200" in text
    assert "Do not publish the shards" in text
    assert "Scores are floats" in text


def test_half_surrogate_pairs_are_replaced_and_end_nothing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "half \ud800 pair"
    folder = tmp_path / os.fsdecode(b"\xff")  # a name that is not UTF-8
    shutil.copytree(made.folder, folder)
    recipe = replace(made.recipe, title=odd, description=odd, citation=odd, traps=(odd,), license=odd)
    inputs = tuple(replace(file, name=file.name + odd) for file in made.config.inputs)
    config = replace(made.config, inputs=inputs, arguments={"caption_column": odd})
    ledger = Ledger(folder)
    changed = {id: replace(record, notes=(odd,), hosts={odd: 1}) for id, record in ledger.records.items()}
    monkeypatch.setattr(ledger, "totals", lambda: total(changed.values()))
    monkeypatch.setattr("gristmill.viewer.report.RunConfig.read", lambda folder: config)
    monkeypatch.setattr("gristmill.viewer.report.Ledger", lambda folder: ledger)
    written = [
        write(folder, recipe, config, ledger) for write in (write_manifest, write_card, write_croissant)
    ]
    for path in [*written, write_report(folder)]:
        assert "half \ufffd pair" in path.read_text()


def test_paths_are_those_of_the_command_where_it_is_given_out_dir(made):
    def words(config) -> str:
        return card(made.recipe, config, made.ledger)

    name = made.folder.name
    assert f'load_dataset("DIR/{name}",' in words(made.config)
    listed = words(replace(made.config, built=Built(command=("crawl", "URLS"), source="list", input="list")))
    assert "gristmill crawl URLS --out DIR" in listed
    assert 'load_dataset("DIR",' in listed
    assert "gristmill verify DIR\n" in listed
    assert "gristmill export DIR --to" in listed


def test_command_is_safe_to_paste(made: Made) -> None:
    config = replace(made.config, settings={"a.b": "$(rm -rf x); y"}, only=5)
    assert command(config) == "gristmill run made-up --out DIR --only 5 --set 'a.b=$(rm -rf x); y'"


def test_card_before_anything_is_packed(tmp_path: Path) -> None:
    made = make_dataset(tmp_path, rows_per_file=100, packed=False)
    text = card(made.recipe, made.config, made.ledger)
    assert "Not complete yet" in text
    assert "samples wait" in text
    assert write_croissant(made.folder, made.recipe, made.config, made.ledger).is_file()
    assert manifest(made.recipe, made.config, made.ledger)["complete"] is False


def test_croissant_lists_shards_with_checksums(made: Made) -> None:
    said = orjson.loads(write_croissant(made.folder, made.recipe, made.config, made.ledger).read_bytes())
    files = {d["@id"]: d for d in said["distribution"] if d["@type"] == "cr:FileObject"}
    assert {name: f["sha256"] for name, f in files.items()} == {
        s.path: s.digest for s in shards_of(made.ledger)
    }
    for name, file in files.items():
        assert (made.folder / file["contentUrl"]).samefile(made.folder / name)
        assert urljoin("http://a.test/", file["contentUrl"]) == f"http://a.test/{name}"
    assert set(sources(said)) <= {d["@id"] for d in said["distribution"]}
    assert said["version"] == "2026.1.1"


def test_croissant_spells_the_path_of_other_bytes_otherwise(made: Made) -> None:
    def spelled(ledger: Ledger) -> list[str]:
        said = croissant(made.recipe, made.config, ledger)
        return [d["contentUrl"] for d in said["distribution"] if d["@type"] == "cr:FileObject"]

    other = Ledger(made.folder)
    record = other.shards()[-1]
    other.records[record.task_id] = replace(
        record, outputs=(replace(record.outputs[0], digest=hashlib.sha256(b"").hexdigest()),)
    )
    before, after = spelled(made.ledger), spelled(other)
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


def sources(said: dict) -> Iterator[str]:
    for record_set in said["recordSet"]:
        for field in record_set["field"]:
            yield field["source"]["fileSet"]["@id"]
    for item in said["distribution"]:
        for inside in item.get("containedIn", []):
            yield inside["@id"]


def kind_of_values(*values: object) -> object:
    shapes = [Shape() for _ in values]  # of as many shards
    for shape, value in zip(shapes, values, strict=True):
        shape.take([("json", orjson.dumps({"a": value}))])
    whole = Shape()
    for shape in shapes:
        whole.add(Shape.read(shape.text()))
    kinds = features(whole)[0]["struct"]
    return next({n: v for n, v in kind.items() if n != "name"} for kind in kinds if kind["name"] == "a")


BEYOND = 2**53 + 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, 1, None], "int64"),
        ([1, 2.5], "float64"),
        ([BEYOND, 1], "int64"),
        ([BEYOND, 2.5], "string"),  # a double would be another number
        ([2**63], "string"),  # the library cannot hold it
        ([True], "bool"),
        ([1, "a"], "string"),
        ([1, True], "string"),
        ([None], "string"),
        ([{}], "string"),
        ([{"a": 1}, "x"], "string"),
        ([["a", 1]], "string"),  # of a list the library looks at the first item alone
        ([[{"b": 1}, {"b": "x"}]], "string"),
    ],
)
def test_a_type_that_loads_every_value(values: list, kind: str) -> None:
    assert kind_of_values(*values) == {"dtype": kind}


def test_types_of_nested_values() -> None:
    assert kind_of_values([], [1]) == {"list": "int64"}
    two = {"struct": [{"name": "b", "dtype": "int64"}, {"name": "c", "dtype": "string"}]}
    assert kind_of_values(None, {"b": 1}, {"c": "x"}) == two
    assert kind_of_values([{"b": 1}], [{"c": "x"}]) == {"list": two["struct"]}


def test_what_grows_without_end_is_one_text() -> None:
    many = [{f"{i}-{j}": 1 for j in range(1000)} for i in range(5)]
    assert kind_of_values(*many) == {"dtype": "string"}
    deep: object = 1
    for _ in range(100):
        deep = {"a": [deep]}
    shape = Shape()
    shape.take([("json", orjson.dumps({"a": deep}))])
    assert len(shape.text()) < 2000
    assert printed(shape) != []


def test_media_by_position_are_declared_up_to_the_highest() -> None:
    fact = {"url": "http://a.test/", "width": 5}
    shape = Shape()
    for n, extension in ((1, "jpg"), (9, "png"), (2, "jpg")):
        names = [f"{i:03d}.{extension}" for i in range(n)]
        record = orjson.dumps({"key": "k", "media": dict.fromkeys(names, fact)})
        shape.take([*((name, b"") for name in names), ("json", record)])
    found = features(Shape.read(shape.text()))
    assert [f["name"] for f in found][:5] == ["000.jpg", "000.png", "001.jpg", "001.png", "002.png"]
    media = next(f for f in found if f["name"] == "json")["struct"][1]
    assert [f["name"] for f in media["struct"]][-1] == "008.png"
    assert media["struct"][0]["struct"][1] == {"name": "width", "dtype": "int64"}


def test_words() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 1534, 99_960, 999_499, 999_600, 2.5e12)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "1.53 kB",
        "100 kB",
        "999 kB",
        "1.00 MB",
        "2.50 TB",
    ]
    assert [share_text(n, 10_000) for n in (0, 1, 5000, 9999, 10_000)] == [
        "0 %",
        "<0.1 %",
        "50.0 %",
        ">99.9 %",
        "100 %",
    ]
    assert share_text(1, 0) == "–"
    assert [duration_text(s) for s in (0.5, 59.4, 60, 3725, 90_000)] == [
        "0.5 s",
        "59 s",
        "1 min 0 s",
        "1 h 2 min",
        "1 d 1 h",
    ]


@pytest.mark.slow
def test_the_real_library_loads_it_with_nothing_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    made = make_dataset(tmp_path)
    write_card(made.folder, made.recipe, made.config, made.ledger)
    write_manifest(made.folder, made.recipe, made.config, made.ledger)
    write_croissant(made.folder, made.recipe, made.config, made.ledger)
    stored = [s for shard in shards_of(made.ledger) for s in read_samples(made.folder / shard.path)]
    bodies = {p.body for p in photographs()}

    loaded = datasets.load_dataset(str(made.folder), split="train", cache_dir=str(tmp_path / "cache"))
    loaded = loaded.cast_column("jpg", datasets.Image(decode=False))
    assert len(loaded) == len(stored)
    for sample, row in zip(stored, loaded, strict=True):
        assert row["__key__"] == sample.key
        assert row["jpg"]["bytes"] == sample.parts["jpg"]
        assert row["jpg"]["bytes"] in bodies
        assert row["txt"] == sample.parts["txt"].decode()
        assert row["json"] == {**orjson.loads(sample.parts["json"]), "not_finite": None}
    assert loaded[0]["txt"] == EVIL

    features_of_card = datasets.load_dataset_builder(str(made.folder)).info.features
    streamed = datasets.load_dataset(
        "webdataset",
        data_files=str(made.folder / "shards" / "*.tar"),
        features=features_of_card,
        split="train",
        streaming=True,
    )
    last = list(streamed)[-1]
    assert last["json"] == {**orjson.loads(stored[-1].parts["json"]), "not_finite": None}
    assert last["jpg"].size == (last["json"]["width"], last["json"]["height"])


@pytest.mark.slow
def test_the_real_library_loads_what_came_late_and_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def loaded(folder: str, rows: list[dict]) -> list[dict]:
        made = make_dataset(tmp_path / folder, packed=False)
        ledger = Ledger(made.folder)
        (made.folder / "shards").mkdir()
        shape = Shape()
        with (made.folder / "shards" / "00000.tar").open("wb") as stream:
            tar = TarWriter(stream)
            for i, row in enumerate(rows):
                parts = [("png" if i == 200 else "jpg", photographs()[0].body), ("json", orjson.dumps(row))]
                shape.take(parts)
                for part, body in parts:
                    tar.add(f"{i:06d}.{part}", body)
            tar.close()
        body = (made.folder / "shards" / "00000.tar").read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        shard = ShardInfo(
            path="shards/00000.tar", role="shard", samples=len(rows), size_bytes=len(body), digest=digest
        )
        ledger.commit(
            TaskRecord(
                task_id=f"{len(rows):016x}",
                stage="pack",
                account="packing",
                number=(0, 0, 0),
                outputs=(shard,),
                samples_in=len(rows),
                kept=len(rows),
                shape=shape.text(),
            )
        )
        write_card(made.folder, made.recipe, made.config, ledger)
        found = datasets.load_dataset(str(made.folder), split="train", cache_dir=str(tmp_path / "cache"))
        return list(found)

    rows = [{"n": i, "kind": i if i < 150 else "text", "nested": None} for i in range(210)]
    rows += [{"n": 210, "late": [{"deep": {"x": 0.1 + 0.2}}], "nested": {"a": [1]}, "huge": 2**64 - 1}]
    first = loaded("a", rows)
    assert [row["json"]["n"] for row in first] == list(range(211))
    assert [row["json"]["kind"] for row in first[:210]] == [str(row["kind"]) for row in rows[:210]]
    assert first[200]["png"] is not None
    assert first[200]["jpg"] is None
    assert first[210]["json"]["late"] == [{"deep": {"x": 0.1 + 0.2}}]
    assert first[210]["json"]["nested"] == {"a": [1]}
    assert first[210]["json"]["huge"] == str(2**64 - 1)
    second = loaded("b", [{**row, "n": -row["n"]} for row in rows])  # as many, in a folder of the same name
    assert [row["json"]["n"] for row in second] == [-n for n in range(211)]


_READ = """
import sys, mlcroissant
for folder in sys.argv[1:]:
    dataset = mlcroissant.Dataset(jsonld=folder + "/croissant.json")
    for name in [record_set.uuid for record_set in dataset.metadata.record_sets]:
        records = list(dataset.records(name))
        print(folder, name, *sorted(record[name + "/key"].decode() for record in records))
        if name == "samples":
            first = min(records, key=lambda record: record["samples/key"])
            print(folder, "first", first["samples/caption"].decode(), first["samples/image"].size)
"""


@pytest.mark.slow
def test_mlcroissant_reads_datasets_of_many_shards_and_mixes_none(tmp_path: Path) -> None:
    pytest.importorskip("mlcroissant")
    folders, wanted = [], []
    for name, shards in (("a", 120), ("b", 2)):
        made = make_dataset(tmp_path / name, shards=shards, rows_per_file=600 if name == "a" else 300)
        write_croissant(made.folder, made.recipe, made.config, made.ledger)
        folders.append(str(made.folder))
        keys = sorted(
            sample.key for s in shards_of(made.ledger) for sample in read_samples(made.folder / s.path)
        )
        wanted += [" ".join([folders[-1], part, *keys]) for part in ("samples", "jpg", "txt", "json")]
    environ = {**os.environ, "CROISSANT_CACHE": str(tmp_path / "cache"), "PYTHONWARNINGS": "ignore"}
    read = subprocess.run(
        [sys.executable, "-c", _READ, *folders], env=environ, capture_output=True, text=True, check=True
    )
    lines = read.stdout.splitlines()
    assert [line for line in lines if " first " not in line] == wanted
    size = photographs()[0].width_px, photographs()[0].height_px
    assert [line for line in lines if " first " in line] == [f"{f} first {EVIL} {size}" for f in folders]
    assert read.stderr == ""
