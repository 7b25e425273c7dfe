"""Benchmarks kept out: evaluation sets of each form, lists that are passed on, drift, and recall as documented."""

import base64
import csv
import io
import json
import re
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from typed import gristmill

from gristmill import recipes
from gristmill.cli.metadata_files import write_metadata_files
from gristmill.shards.webdataset import read_samples
from gristmill.steps.evaluation_sets import hash_set
from gristmill.steps.hash_list import SCHEMA, Banded, grams_of, read_lists
from gristmill.testing import archived

PHOTOS = sorted(
    (
        path
        for path in resources.files("gristmill.testing").joinpath("photos").iterdir()
        if path.name.endswith("jpg")
    ),
    key=lambda path: path.name,
)[:12]
QUESTION = "How many of the seven wooden boats on the northern shore carry a red flag?"
RECIPE = Path(archived.__path__[0]) / "folder.py"


def opened(number: int) -> Image.Image:
    return Image.open(io.BytesIO(PHOTOS[number].read_bytes())).convert("RGB")


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def cropped(image: Image.Image, left=0.0, top=0.0, right=0.0, bottom=0.0) -> Image.Image:
    wide, high = image.size
    return image.crop(
        (round(left * wide), round(top * high), round((1 - right) * wide), round((1 - bottom) * high))
    )


CHANGED = {
    "as it is": lambda image: jpeg(image, 95),
    "resized": lambda image: jpeg(ImageOps.contain(image, (224, 224))),
    "recompressed": lambda image: jpeg(image, 30),
    "grey": lambda image: jpeg(image.convert("L")),
    "mirrored": lambda image: jpeg(ImageOps.mirror(image)),
    "cropped": lambda image: jpeg(cropped(image, 0.05, 0.05, 0.05, 0.05)),
    "cropped at an edge": lambda image: jpeg(cropped(image, left=0.1)),
}


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Eight photographs, one for each change and one as it is, and captions; the sixth has a benchmark's question."""
    at = tmp_path_factory.mktemp("training")
    folder = at / "playground/data/toy/images"
    folder.mkdir(parents=True)
    rows = []
    for number in range(8):
        change = list(CHANGED.values())[number % len(CHANGED)]
        (folder / f"{number:05d}.jpg").write_bytes(change(opened(number)))
        caption = f"So: how MANY of the seven wooden boats, on the northern shore carry flags? {number}"
        rows.append(
            {
                "id": number,
                "image": f"toy/images/{number:05d}.jpg",
                "caption": caption if number == 5 else "A photo",
            }
        )
    (at / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return at


def full_name(setting: str) -> str:
    return setting if setting.startswith("media.") else f"decontaminate.{setting}"


def run(training: Path, out: Path, *settings: str, code: int = 0, workers: int = 0):
    return gristmill(
        "run", RECIPE, "--out", out, "--source", f"annotations={training / 'rows.jsonl'}", "--source",
        f"pictures={training / 'playground'}", "--workers", workers,
        *(word for setting in settings for word in ("--set", full_name(setting))), code=code,
    )  # fmt: skip


def outcome(out: Path) -> tuple[list[str], dict[int, str], dict[str, bytes]]:
    """Keys in the shards, reasons by row, and the shards' bytes."""
    (folder,) = (path.parent for path in out.glob("*/dataset.json"))
    shards = sorted((folder / "shards").glob("*.tar"))
    keys = [sample.key for shard in shards for sample in read_samples(shard)]
    fates = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "fates").glob("samples*"))])
    reasons = {row["row"]: row["reason"] for row in fates.to_pylist() if row["reason"]}
    return keys, reasons, {shard.name: shard.read_bytes() for shard in shards}


def as_folder(at: Path) -> Path:
    folder = at / "bench"
    (folder / "sub").mkdir(parents=True)
    for number in (1, 3, 4):
        (folder / f"sub/{number}.jpg").write_bytes(PHOTOS[number].read_bytes())
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(folder / "blank.png")
    return folder


def as_tsv(at: Path) -> Path:
    path = at / "MMToy.tsv"
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream, delimiter="\t")
        rows.writerow(["index", "question", "image", "answer"])
        for number in (1, 3):
            body = base64.b64encode(PHOTOS[number].read_bytes()).decode()
            rows.writerow([number, 'What is\n"this"?', body, "A"])
        rows.writerow([4, "Which?", str([base64.b64encode(PHOTOS[4].read_bytes()).decode()]), "B"])
        rows.writerow([1001, "Which?", "1", "B"])  # the picture of row 1
        rows.writerow([7, QUESTION, "3", "B"])
    return path


def as_parquet(at: Path) -> Path:
    path = at / "toy.parquet"
    shown = [{"bytes": PHOTOS[number].read_bytes(), "path": None} for number in (1, 3, 4)]
    pq.write_table(
        pa.table({"id": [1, 3, 4], "image_1": shown, "question": ["Which?", QUESTION, None]}), path
    )
    return path


@pytest.mark.parametrize("form", [as_folder, as_tsv, as_parquet])
def test_pictures_and_questions_of_each_form_are_dropped_and_counted(form, training, tmp_path):
    place, out = form(tmp_path), tmp_path / "out"
    done = run(training, out, f"against={place}")
    keys, reasons, _ = outcome(out)
    text = {} if form is as_folder else {5: "benchmark_text"}
    assert reasons == dict.fromkeys((1, 3, 4), "benchmark_picture") | text
    assert keys == [f"{n:06d}" for n in range(8) if n not in reasons]
    assert "3 pictures" in done.stderr
    if form is as_folder:
        assert "broken.png" in done.stderr
        assert "1 near-constant" in done.stderr
    again = run(training, out, f"against={place}")  # hashed once, and nothing to do
    assert "known by their hashes" not in again.stderr


@pytest.mark.slow
def test_a_list_is_passed_on_without_pictures_and_is_part_of_what_a_dataset_is(training, tmp_path):
    place, listed = as_tsv(tmp_path), tmp_path / "lists/toy.parquet"
    said = json.loads(gristmill("hashes", place, "--out", listed, "--json", "--workers", 1).stdout)
    assert (said["pictures"], said["questions"]) == (3, 1)
    table = pq.read_table(listed)
    assert table.schema.names == SCHEMA.names
    assert table["thumbnail"].null_count == table.num_rows
    assert QUESTION.encode() not in listed.read_bytes()
    before = listed.read_bytes()
    gristmill("hashes", place, "--out", listed, "--workers", 2)
    assert listed.read_bytes() == before
    place.unlink()
    run(training, tmp_path / "one", f"against={listed.parent}")
    run(training, tmp_path / "two", f"against={listed}", workers=2)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")
    assert len(outcome(tmp_path / "one")[0]) == 4
    hash_set(as_folder(tmp_path), listed, n=8)
    changed = run(training, tmp_path / "one", f"against={listed}", code=None)
    assert changed.returncode != 0
    assert "decontaminate/toy.parquet" in changed.stderr
    assert "gristmill hashes" in run(training, tmp_path / "n", f"against={listed}", "n=5", code=None).stderr


def pictures_in(figure: str) -> list[Image.Image]:
    bodies = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', figure)
    return [Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB") for body in bodies]


def pairs_in(out: Path) -> list[str]:
    """The figures of the report's section on pictures of evaluation sets."""
    (page,) = out.glob("*/report.html")
    _, _, rest = page.read_text().partition("Pictures of evaluation sets</h2>")
    return re.findall(r"<figure>.*?</figure>", rest.partition("</section>")[0], re.DOTALL)


def unlike(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of grey values, 0 to 255."""
    grey = [np.asarray(each.convert("L").resize((32, 32)), np.float64) for each in (one, other)]
    return float(np.abs(grey[0] - grey[1]).mean())


@pytest.mark.parametrize("setting", ["action=drop", "action=mark", "media.encode=jpeg"])
def test_the_report_shows_both_pictures_and_the_shards_none_of_the_sets(setting, training, tmp_path):
    """Stored anew they lie in the spool, else where they stood."""
    run(training, tmp_path / "out", f"against={as_folder(tmp_path)}", setting)
    figures = pairs_in(tmp_path / "out")
    assert [re.search(r"bench/sub/\d", figure)[0][-1] for figure in figures] == ["1", "3", "4"]
    for number, figure in zip((1, 3, 4), figures, strict=True):
        ours, theirs = pictures_in(figure)
        change = list(CHANGED.values())[number]
        assert unlike(ours, Image.open(io.BytesIO(change(opened(number))))) < 6
        assert unlike(theirs, opened(number)) < 6
        assert max(theirs.size) == 120
        assert f"row {number}," in figure
    parts = {
        part
        for shard in (tmp_path / "out").glob("*/shards/*.tar")
        for s in read_samples(shard)
        for part in s.parts
    }
    assert parts == {"jpg", "json", "txt"}


def test_a_report_shows_what_it_has(training, tmp_path):
    """A list without small pictures; then bytes that are gone from where they stood; then no list."""
    folder, listed, out = as_folder(tmp_path), tmp_path / "lists/toy.parquet", tmp_path / "out"
    listed.parent.mkdir()
    hash_set(folder, listed, n=8)
    own = shutil.copytree(training, tmp_path / "own")
    run(own, out, f"against={listed}")
    figures = pairs_in(out)
    assert [len(pictures_in(figure)) for figure in figures] == [1, 1, 1]
    assert "bench/sub/4.jpg" in figures[2]
    assert "the hash list has no small pictures" in figures[2]
    (place,) = (path.parent for path in out.glob("*/report.html"))
    for path in (own / "playground/data/toy/images").iterdir():
        path.unlink()
    write_metadata_files(place, recipes.find(str(RECIPE)))
    assert [pictures_in(figure) for figure in pairs_in(out)] == [[], [], []]
    assert "its bytes are gone" in pairs_in(out)[0]
    listed.unlink()
    write_metadata_files(place, recipes.find(str(RECIPE)))
    assert pairs_in(out) == []
    assert "hash lists are gone" in place.joinpath("report.html").read_text()


def test_mark_keeps_samples_and_names_what_they_hold(training, tmp_path):
    run(training, tmp_path / "out", f"against={as_tsv(tmp_path)}", "action=mark")
    (folder,) = (path.parent for path in (tmp_path / "out").glob("*/dataset.json"))
    found = {}
    for shard in (folder / "shards").glob("*.tar"):
        for sample in read_samples(shard):
            columns = json.loads(sample.parts["json"])
            if "benchmark" in columns:
                found[int(sample.key)] = (columns["benchmark"], columns["changes"])
    assert sorted(found) == [1, 3, 4, 5]
    assert found[5][1] == ["benchmark_text_kept"]
    assert "MMToy:7" in found[5][0][0]


def test_a_setting_without_sets_is_refused_before_anything_is_begun(training, tmp_path):
    said = run(training, tmp_path / "out", "max_distance=4", code=2).stderr
    assert "decontaminate.against=PATH" in said
    assert not list((tmp_path / "out").glob("*/*"))


def test_without_the_setting_a_recipe_is_what_it_was(training, tmp_path):
    run(training, tmp_path / "out")
    keys, reasons, _ = outcome(tmp_path / "out")
    assert len(keys) == 8
    assert not reasons


@pytest.mark.slow
def test_all_changes_are_found_of_a_few_photographs_and_no_other_picture_is(tmp_path):
    folder = tmp_path / "bench"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(PHOTOS[number].read_bytes())
    hash_set(folder, tmp_path / "changed.parquet", n=8)
    known = read_lists([tmp_path / "changed.parquet"])
    for name, change in CHANGED.items():
        others = tmp_path / name
        others.mkdir()
        for number in range(8):
            (others / f"{number}.jpg").write_bytes(change(opened(number)))
        hash_set(others, tmp_path / f"{name}.parquet", n=8)
        hashes = [
            row for row in pq.read_table(tmp_path / f"{name}.parquet").to_pylist() if not row["variant"]
        ]
        found = {row["name"]: known.picture(row["phash"], 6) for row in hashes}
        assert {own for own, what in found.items() if what} == {f"{n}.jpg" for n in range(4)}, name
        assert all(what.name == own for own, what in found.items() if what)


def test_grams_see_words_alone():
    assert grams_of("The CAT,  sat…", 3) == grams_of("the cat sat", 3)
    assert grams_of("图里有猫", 4) == grams_of("图 里 有 猫", 4)
    assert grams_of("two words", 3) == []


@pytest.mark.parametrize("bits", [0, 1, 3, 6, 16])
def test_the_nearest_is_that_of_a_plain_loop(bits):
    rng = np.random.default_rng(bits)
    known = rng.integers(0, 2**63, 500, dtype=np.uint64)
    known[7] = known[300]
    banded = Banded(known, bits)
    for one in [*known[rng.permutation(500)[:100]].tolist(), known[300].item()]:
        value = one
        for bit in rng.integers(0, 63, rng.integers(0, bits + 2)).tolist():
            value ^= 1 << bit
        distance, place = min(((value ^ other).bit_count(), n) for n, other in enumerate(known.tolist()))
        assert banded.find(value) == ((place, distance) if distance <= bits else None)
    assert Banded(known[:0], bits).find(5) is None
