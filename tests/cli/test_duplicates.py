"""The same picture within and across finished datasets: by its bytes, by its look, the first in order first."""

import io
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typed import gristmill

from gristmill.ledger.duplicates import (  # the pairs themselves, over made-up hashes
    LIST_SCHEMA,
    lead_near_hashes,
)
from gristmill.shards.webdataset import read_samples

duckdb = pytest.importorskip("duckdb")

PHOTOS = sorted(
    (
        one
        for one in resources.files("gristmill.testing").joinpath("photos").iterdir()
        if one.name.endswith("jpg")
    ),
    key=lambda one: one.name,
)
RECIPE = """
from dataclasses import replace
from gristmill.testing.archived.folder import RECIPE
RECIPE = replace(RECIPE, name="{name}")
"""
MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle
MIXTURE = Mixture(
    name="mixed", version="2026.12.1", title="Mixed", description="Two sets.", homepage="https://example.org",
    license="other", parts=(Part(name="first"), Part(name="second", prefix="b", weight={weight})),
    shuffle=Shuffle(seed=1, shards=3),
)
"""


def again(body: bytes) -> bytes:
    """The same picture, smaller and of other bytes."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    out = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(out, "JPEG", quality=60)
    return out.getvalue()


def blank(grey: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((50, 50, 3), grey, np.uint8)).save(out, "PNG")
    return out.getvalue()


def dataset(at: Path, name: str, bodies: list[bytes], caption: str = "A photo", code: int = 0) -> Path:
    folder = at / f"{name}-source/data/toy/images"
    folder.mkdir(parents=True)
    rows = []
    for number, body in enumerate(bodies):
        ending = "png" if body[:1] == b"\x89" else "jpg"
        (folder / f"{number:05d}.{ending}").write_bytes(body)
        rows.append({"id": number, "image": f"toy/images/{number:05d}.{ending}", "caption": caption})
    listed = at / f"{name}.jsonl"
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = at / f"{name}.py"
    recipe.write_text(RECIPE.format(name=name))
    gristmill(
        "run", recipe, "--out", at / "data", "--source", f"annotations={listed}", "--source",
        f"pictures={at / f'{name}-source'}", "--workers", 0, "--set", "media.phash=true", code=code,
    )  # fmt: skip
    return at / "data" / name


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    at = tmp_path_factory.mktemp("datasets")
    photos = [photo.read_bytes() for photo in PHOTOS[:9]]
    first = dataset(at, "first", [*photos[:5], photos[2], blank(10), blank(200)])
    second = dataset(at, "second", [photos[8], photos[0], again(photos[1]), again(photos[2]), blank(90)],
                     "There is one at [0.1, 0.2, 0.5, 0.75].")  # fmt: skip
    return first, second


def test_within_and_across_by_bytes_and_by_look(datasets, tmp_path):
    out = tmp_path / "same.parquet"
    said = json.loads(gristmill("duplicates", *datasets, "--out", out, "--json").stdout)
    assert [(one["name"], one["media"], one["repeated_within"]) for one in said["datasets"]] == [
        ("first", 8, 1),
        ("second", 5, 0),
    ]
    assert said["across"] == [{"datasets": ["first", "second"], "pictures": 3}]
    assert said["groups"] == 3
    assert said["largest"][0]["media"] == 3
    table = pq.read_table(out)
    assert table.schema.equals(LIST_SCHEMA)
    rows = [
        (row["group"], row["dataset"], int(row["key"]), row["first"], row["boxes"])
        for row in table.to_pylist()
    ]
    assert rows == [
        (0, "first", 0, True, False), (0, "second", 1, False, True),
        (1, "first", 1, True, False), (1, "second", 2, False, True),
        (2, "first", 2, True, False), (2, "first", 5, False, False), (2, "second", 3, False, True),
    ]  # fmt: skip
    before = out.read_bytes()
    gristmill("duplicates", *datasets, "--out", out)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["same.parquet"]


def test_exact_sees_bytes_alone_and_order_is_as_given(datasets, tmp_path):
    out = tmp_path / "same.parquet"
    said = gristmill("duplicates", *datasets[::-1], "--exact", "--out", out).stdout
    assert "second and first: 1 picture in both" in said
    assert [row["dataset"] for row in pq.read_table(out).to_pylist() if row["first"]] == ["second", "first"]


def test_what_is_not_finished_is_refused(tmp_path):
    folder = tmp_path / "nothing"
    folder.mkdir()
    assert gristmill("duplicates", folder, code=None).returncode != 0


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_near_hashes_are_led_as_a_plain_loop_leads_them(bits):
    rng = np.random.default_rng(bits)
    seeds = rng.integers(0, 2**63, (40, 1, 1), dtype=np.uint64)
    flipped = np.uint64(1) << rng.integers(0, 63, (40, 12, 4), dtype=np.uint64)
    flipped *= rng.integers(0, 2, flipped.shape, np.uint64)
    made = seeds[:, :, 0] ^ np.bitwise_xor.reduce(flipped, axis=2)
    hashes = list(dict.fromkeys(rng.permutation(made.ravel()).tolist()))
    leaders: list[int] = []
    wanted = {}
    for n, value in enumerate(hashes):
        near = [other for other in leaders if (hashes[other] ^ value).bit_count() <= bits]
        if near:
            wanted[n] = near[0]
        else:
            leaders.append(n)
    with duckdb.connect() as base:
        base.register(
            "made",
            pa.table({"phash": pa.array(hashes, pa.uint64()), "n": pa.array(range(len(hashes)), pa.int64())}),
        )
        base.execute("CREATE TABLE hashes AS SELECT * FROM made")
        base.execute("CREATE TABLE led (n BIGINT, leader BIGINT)")
        lead_near_hashes(base, bits)
        assert dict(base.execute("SELECT n, leader FROM led").fetchall()) == wanted
    assert wanted


def mixed(datasets, out: Path, *more: str, weight: float = 1, code: int | None = 0):
    """Keys in the mixture's shards, and what was said."""
    out.mkdir(exist_ok=True)
    (out / "mixed.py").write_text(MIXTURE.format(weight=weight))
    given = ["--set", "shuffle.duplicates=drop", "--parts", datasets[0].parent, "--workers", 0, *more]
    done = gristmill("mix", out / "mixed.py", "--out", out, *given, code=code)
    tars = sorted((out / "mixed/shards").glob("*.tar"))
    return sorted(sample.key for tar in tars for sample in read_samples(tar)), done


def test_a_mixture_leaves_out_what_an_earlier_part_has(datasets, tmp_path):
    at = tmp_path / "sources"
    at.mkdir()
    photos = [photo.read_bytes() for photo in PHOTOS]
    dataset(at, "first", photos[:5])
    dataset(at, "second", [photos[8], photos[0], again(photos[1]), photos[9], photos[8], photos[10]])
    parts = at / "data/first", at / "data/second"
    keys, _ = mixed(parts, tmp_path / "all")
    first = [f"{n:06d}" for n in range(5)]
    assert keys == first + [f"b{n:06d}" for n in (0, 3, 4, 5)]  # what a part has twice itself stays
    manifest = json.loads((tmp_path / "all/mixed/dataset.json").read_text())
    assert manifest["complete"]
    second = manifest["parts"][1]
    assert (second["samples"], second["kept"], second["dropped"]) == (6, 4, {"duplicate_picture": 2})
    fates = pa.concat_tables([pq.read_table(path) for path in (tmp_path / "all/mixed/fates").glob("*")])
    assert sorted(zip(fates["row"].to_pylist(), fates["reason"].to_pylist(), strict=True)) == [
        (1, "duplicate_picture"),
        (2, "duplicate_picture"),
    ]
    again_, said = mixed(parts, tmp_path / "all")
    assert again_ == keys
    assert "looking for" not in said.stderr
    half, _ = mixed(parts, tmp_path / "half", weight=0.5)
    assert len(half) == 5 + 2
    assert not {"b000001", "b000002"} & set(half)
    twice, _ = mixed(parts, tmp_path / "twice", weight=2)
    assert len(twice) == 5 + 8
    for name, dropped in (("half", 2 + 2), ("twice", 2)):
        manifest = json.loads((tmp_path / name / "mixed/dataset.json").read_text())
        assert manifest["complete"]
        account = manifest["parts"][1]
        assert sum(account["dropped"].values()) == dropped
        assert account["samples"] + account["repeated"] == account["kept"] + dropped
    exact, _ = mixed(parts, tmp_path / "exact", "--set", "shuffle.duplicate_bits=none", "--index-only")
    assert not exact
    account = json.loads((tmp_path / "exact/mixed/dataset.json").read_text())["parts"][1]
    assert account["dropped"] == {"duplicate_picture": 1}
    boxes, _ = mixed(datasets, tmp_path / "boxes")  # records with boxes keep their own
    assert len(boxes) == 8 + 5
    gristmill("verify", tmp_path / "all/mixed")
