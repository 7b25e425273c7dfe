"""Sources of a recipe that lie in an object store."""

import hashlib
import io
import json
from http.client import HTTPConnection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typed import gristmill

from gristmill.run.inputs import bucket as bucket_inputs
from gristmill.storage import bucket
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.testing import archived
from gristmill.testing.archives import zipped

ROWS = 12
FLAN = ("_template_idx", "_task_source", "_task_name", "_template_type")
TOY = Path(archived.__path__[0]) / "zip.py"


@pytest.fixture
def store(either_bucket, tmp_path, monkeypatch):
    """A prefix in a bucket, which the environment says how to reach."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", either_bucket["endpoint"])
    for key in ("access_key_id", "secret_access_key", "region"):
        monkeypatch.setenv(f"AWS_{key.upper()}", either_bucket[key])
    return ObjectStore(f"s3://bucket/{tmp_path.name}", {})


@pytest.fixture
def upstream(request, store, either_bucket, tmp_path):
    """Annotations, and pictures in a zip, both also on this machine; what the run of those makes."""
    body = _picture()
    rows = [{"id": n, "image": f"toy/images/{n:05d}.png", "caption": f"picture {n}"} for n in range(ROWS)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    own = tmp_path / "own"
    own.mkdir()
    (own / "a.jsonl").write_bytes(lines)
    zipped(own / "pictures.zip", {f"images/{n:05d}.png": body + bytes([n]) for n in range(ROWS)})
    store.put("up/rows/a.jsonl", lines)
    store.put("up/rows/.hidden/b.jsonl", b"no rows")
    if request.node.callspec.params["either_bucket"] == "served":  # a folder holds no such object
        _put_marker(either_bucket, f"{tmp_path.name}/up/rows/")
    store.put("up/pictures/pictures.zip", own / "pictures.zip")
    store.put("up/pictures/LICENSE", b"no pictures")
    run(own / "a.jsonl", own / "pictures.zip", tmp_path / "local")
    return shards(LocalStore(tmp_path / "local" / "toy-zip"))


def _put_marker(bucket, name):
    """What consoles put for a folder that a person makes: an empty object whose name ends with a slash."""
    asked = HTTPConnection(bucket["endpoint"].removeprefix("http://"))
    asked.request("PUT", f"/bucket/{name}")
    assert asked.getresponse().status == 200
    asked.close()


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(out, "PNG")
    return out.getvalue()


def run(rows, pictures, out, *more, code=0):
    sources = ("--source", f"annotations={rows}", "--source", f"pictures={pictures}")
    return gristmill("run", TOY, *sources, "--out", out, *more, code=code)


def shards(store):
    return {one.name: store.read(one.name) for one in store.list("shards") if "_stats" not in one.name}


@pytest.mark.parametrize(
    ("rows", "pictures"), [("up/rows/a.jsonl", "up/pictures/pictures.zip"), ("up/rows", "up/pictures/")]
)
def test_sources_in_a_store_give_the_bytes_of_those_here(rows, pictures, store, upstream, tmp_path):
    assert len(upstream) > 1
    run(f"{store}/{rows}", f"{store}/{pictures}", tmp_path / "out")
    out = tmp_path / "out" / "toy-zip"
    assert shards(LocalStore(out)) == upstream
    sources = json.loads((out / ".gristmill/run.json").read_text())["sources"]
    assert sources["annotations"].startswith(f"{store}/up/rows/")
    (kept,) = (tmp_path / "out/sources/pictures").glob("*/pictures.zip")
    assert not list(kept.parent.glob(".*"))
    made = f"{store}/made"
    run(f"{store}/{rows}", f"{store}/{pictures}", made)
    assert shards(ObjectStore(f"{made}/toy-zip", {})) == upstream
    said = gristmill("clean", made)
    assert "sources: removed" in said.stdout
    assert not list((tmp_path / "cache").rglob("pictures.zip"))
    assert "all as recorded" in gristmill("verify", made).stdout
    run(f"{store}/{rows}", f"{store}/{pictures}", made)  # what is complete fetches nothing
    assert not list((tmp_path / "cache").rglob("pictures.zip"))


def test_a_prefix_of_loose_pictures_is_a_media_source(store, upstream, tmp_path):
    loose = tmp_path / "loose"
    for n in range(ROWS):
        store.put(f"loose/images/{n:05d}.png", _picture() + bytes([n]))
        (loose / "images").mkdir(parents=True, exist_ok=True)
        (loose / f"images/{n:05d}.png").write_bytes(_picture() + bytes([n]))
    store.put("loose/LICENSE", b"no pictures")
    own = tmp_path / "own/a.jsonl"
    run(own, loose, tmp_path / "here")
    run(own, f"{store}/loose/", tmp_path / "out")
    made = tmp_path / "out" / "toy-zip"
    assert shards(LocalStore(made)) == shards(LocalStore(tmp_path / "here/toy-zip")) != {}
    (kept,) = (tmp_path / "out/sources/pictures").glob("*")
    assert sorted(path.name for path in kept.iterdir()) == ["loose"]
    assert "sources: removed" in gristmill("clean", tmp_path / "out").stdout
    run(own, f"{store}/loose", tmp_path / "out")  # complete: nothing is fetched
    store.put("loose/images/00000.png", _picture())
    assert "pictures/loose" in run(own, f"{store}/loose", tmp_path / "out", code=2).stderr


def test_a_prefix_of_loose_pictures_that_changed_is_told(store, upstream, tmp_path, monkeypatch):
    for n in range(ROWS):
        store.put(f"loose/images/{n:05d}.png", _picture() + bytes([n]))
    listed = bucket_inputs.stored_files

    def changed(address, near):
        found = listed(address, near)
        store.put("loose/images/00003.png", b"another")
        return found

    monkeypatch.setattr(bucket_inputs, "stored_files", changed)
    said = run(tmp_path / "own/a.jsonl", f"{store}/loose", tmp_path / "out", code=1).stderr
    assert "holds other objects than those that were found there" in said


def test_store_options_hold_for_sources_beside_a_dataset_in_a_store(
    store, either_bucket, upstream, tmp_path, monkeypatch
):
    for key in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.delenv(f"AWS_{key}")
    words = [word for key, value in either_bucket.items() for word in ("--store-option", f"{key}={value}")]
    run(f"{store}/up/rows", f"{store}/up/pictures", f"{store}/told", *words)
    assert shards(ObjectStore(f"{store}/told/toy-zip", either_bucket)) == upstream


def test_another_object_at_the_same_address_is_refused(store, upstream, tmp_path):
    sources = (f"{store}/up/rows/a.jsonl", f"{store}/up/pictures")
    run(*sources, tmp_path / "out", "--to", "rows")
    zipped(tmp_path / "other.zip", {f"images/{n:05d}.png": _picture() for n in range(ROWS)})
    store.put("up/pictures/pictures.zip", tmp_path / "other.zip")
    said = run(*sources, tmp_path / "out", code=2).stderr
    assert "pictures/pictures.zip" in said
    assert "was begun" in said
    assert len(list((tmp_path / "out/sources").rglob("pictures.zip"))) == 1


def test_a_fetch_goes_on_and_never_mixes_two_objects(store, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "_PIECE_BYTES", 1000)
    body = bytes(range(256)) * 20
    store.put("a.bin", body)
    (file,) = bucket.stored_files(f"{store}/a.bin", store)

    def stop(have):
        if have >= 2000:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        bucket.fetch_stored(file, tmp_path, store, stop)
    (partial,) = tmp_path.glob(".a.bin.*")
    assert 2000 <= partial.stat().st_size < 4000
    asked = store.asked() or ObjectStore(file.home.rpartition("/")[0], {}).asked()
    said = []
    path = bucket.fetch_stored(file, tmp_path, store, said.append)
    assert path.read_bytes() == body
    assert said[0] == 3000
    assert asked["bytes_in"] < len(body)
    assert not list(tmp_path.glob(".a.bin.*"))
    bucket.fetch_stored(file, tmp_path, store, said.append)

    def replaced(have):
        store.put("a.bin", body[::-1])

    with pytest.raises(bucket.SourceError, match="is another object"):
        bucket.fetch_stored(file, tmp_path / "again", store, replaced)
    store.delete("a.bin")
    with pytest.raises(bucket.SourceError, match="is not there any more"):
        bucket.read_stored(file, 0, 10, store)
    assert not (tmp_path / "again" / "a.bin").exists()


def test_what_is_not_there_is_said(store, upstream, tmp_path):
    for rows, pictures, told in (
        ("nothing", "up/pictures", "there is no such object, and none below it"),
        ("up/rows", "up/picture", "there is no such object"),
        ("up/rows", "up/rows", "holds nothing of"),
    ):
        said = run(f"{store}/{rows}", f"{store}/{pictures}", tmp_path / "out", code=2).stderr
        assert told in said
        assert not (tmp_path / "out").exists()
    store.put("half/pictures.zip", (tmp_path / "own/pictures.zip").read_bytes()[:-200])
    said = run(f"{store}/up/rows", f"{store}/half", tmp_path / "out", code=None).stderr
    assert "end is missing after" in said


def test_conversations_are_imported_from_a_store_and_into_one(store, upstream, tmp_path):
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Teal."}]
    records = [{"id": str(n), "image": f"images/{n:05d}.png", "conversations": turns} for n in range(ROWS)]
    (tmp_path / "own/mine.json").write_text(json.dumps(records))
    store.put("conv/mine.json", tmp_path / "own/mine.json")
    words = ("import", "--from", "llava", "--media")
    gristmill(*words, tmp_path / "own/pictures.zip", tmp_path / "own/mine.json", "--out", tmp_path / "here")
    for place in ("conv", "conv/mine.json"):
        gristmill(*words, f"{store}/up/pictures", f"{store}/{place}", "--out", f"{store}/made/{place}")
        assert shards(ObjectStore(f"{store}/made/{place}", {})) == shards(LocalStore(tmp_path / "here"))
    said = gristmill("import", f"{store}/conv", "--from", "llava", "--out", tmp_path / "x", code=2).stderr
    assert "--media is needed" in said
    said = gristmill("import", f"{store}/conv", "--from", "vila", "--out", tmp_path / "x", code=2).stderr
    assert "pickles are read on this machine" in said


def test_a_list_in_a_store_is_planned_and_an_own_command_retried_with_its_source(store, upstream, tmp_path):
    store.put("lists/a.txt", b"http://127.0.0.1:9/1.jpg\n" * 5)
    planned = gristmill("plan", f"{store}/lists", "--json").stdout
    assert json.loads(planned)["sources"]["list"] == f"{store}/lists/"
    store.put(
        "few/pictures.zip",
        zipped(tmp_path / "few.zip", {f"images/{n:05d}.png": _picture() for n in range(5)}),
    )
    sources = (f"{store}/up/rows/a.jsonl", f"{store}/few")
    run(*sources, tmp_path / "out")
    again = ("retry", tmp_path / "out/toy-zip", "--recipe", TOY, "--reason", "no_file")
    said = gristmill(*again, code=2).stderr
    assert f"--source pictures={store}/few/" in said
    gristmill(*again, "--source", f"pictures={store}/up/pictures")
    assert json.loads(gristmill("status", tmp_path / "out", "--json").stdout)["counts"]["packed"] == ROWS


def test_of_a_table_in_a_store_only_the_row_groups_are_fetched_that_are_wanted(store, tmp_path):
    texts = [hashlib.sha256(bytes([n % 256])).hexdigest() * 4 + str(n) for n in range(1500)]
    table = pa.table({"inputs": texts, "targets": texts, **dict.fromkeys(FLAN, ["x"] * len(texts))})
    place = tmp_path / "flan" / "niv2_data" / "part.0.parquet"
    place.parent.mkdir(parents=True)
    pq.write_table(table, place, row_group_size=100, compression="none", use_dictionary=False)
    store.put("flan/niv2_data/part.0.parquet", place)
    made = []
    for source in (tmp_path / "flan", f"{store}/flan"):
        out = tmp_path / f"out{len(made)}"
        words = ("--source", f"annotations={source}", "--set", "sample.size=3", "--out", out)
        gristmill("run", "text-flan", *words)
        made.append(shards(LocalStore(out / "text-flan")))
    assert made[0] == made[1] != {}
    received = json.loads(gristmill("status", out, "--json").stdout)["annotation_bytes"]
    assert 0 < received < place.stat().st_size / 2
