"""Commands on datasets in an object store."""

import json
from pathlib import Path

import msgspec
import pytest
from click import BadParameter
from typed import gristmill

from gristmill.cli.list_place import is_list, local_list
from gristmill.cli.options import DatasetPlace, InputPlace, LocalPath, pairs, recipe_loader
from gristmill.ledger.at_work import AT_WORK, AtWork
from gristmill.mixtures import find
from gristmill.spec.errors import RecipeError, UsageError
from gristmill.storage.local import LocalStore
from gristmill.storage.object import ObjectStore
from gristmill.storage.store import store_at
from gristmill.testing.web import FakeWeb


@pytest.fixture
def web():
    with FakeWeb() as web:
        yield web


@pytest.fixture
def stored(bucket, tmp_path, monkeypatch):
    """Words that name the server, and an address in it."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    words = [word for key, value in bucket.items() for word in ("--store-option", f"{key}={value}")]
    return words, f"s3://bucket/{tmp_path.name}"


def shards(store):
    return {one.name: store.read(one.name) for one in store.list("shards") if "_stats" not in one.name}


def test_a_crawl_is_made_looked_at_checked_asked_again_cleaned_and_exported_there(
    web, bucket, stored, tmp_path
):
    words, out = stored
    place, pictures = tmp_path / "urls.txt", f"{out}/pictures"
    faults = [web.url("/fault/404/1")]
    place.write_text("\n".join([*(web.url(f"/photo/{n}.jpg?w=64") for n in range(5)), *faults]))
    options = ("--allow-private-addresses", "--workers", 0)
    gristmill("crawl", place, "--out", pictures, *words, *options)
    gristmill("crawl", place, "--out", tmp_path / "local", *options)
    store = ObjectStore(pictures, bucket)
    assert shards(store) == shards(LocalStore(tmp_path / "local")) != {}
    said = gristmill("status", out, *words)
    assert f"{pictures}/report.html" in said.stdout
    asked = next(line for line in said.stdout.splitlines() if "requests by tasks (" in line)
    report = f"<dt>object store</dt><dd>{asked.strip().removeprefix('store: ')}</dd>"
    assert report in store.read("report.html").decode()
    sign = AtWork(name="x", host="elsewhere", pid=1, since=1.0, seen=2.0)
    store.put(f"{AT_WORK}/x.json", msgspec.json.encode(sign))
    assert "elsewhere" not in gristmill("status", out, *words).stdout  # it is complete all the same
    store.delete(f"{AT_WORK}/x.json")
    counted = json.loads(gristmill("status", pictures, "--json", *words).stdout)
    assert counted["folder"] == pictures
    assert 10 < counted["store_requests"]["put"] < 40
    assert counted["store_requests"]["bytes_out"] > len(b"".join(shards(store).values()))
    assert "all as recorded" in gristmill("verify", out, *words).stdout
    store.delete("shards/00000.tar")
    assert "is missing" in gristmill("verify", pictures, "--repair", *words, code=None).stdout
    gristmill("crawl", place, "--out", pictures, *words, *options)
    assert shards(store) == shards(LocalStore(tmp_path / "local"))
    again = gristmill("retry", pictures, "--reason", "http_404", *words, *options)
    assert "asking again" in again.stderr
    assert f"{pictures}: removed" in gristmill("clean", out, *words).stdout
    gristmill("export", pictures, "--to", "interleaved-parquet", "--out", tmp_path / "export", *words)
    (made,) = (tmp_path / "export").glob("*.parquet")
    told = gristmill("export", pictures, "--to", "interleaved-parquet", "--out", f"{out}/export", *words)
    assert f"{out}/export: 1 shard, 5 samples as interleaved-parquet" in told.stdout
    assert ObjectStore(f"{out}/export", bucket).read(made.name) == made.read_bytes()
    linked = gristmill("export", pictures, "--to", "energon", "--out", tmp_path / "e", *words, code=2)
    assert f"Copy it first: aws s3 sync {pictures} pictures" in linked.stderr
    for file in store.list():  # as that command does
        copied = tmp_path / "copied" / file.name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(store.read(file.name))
    assert (
        "1 shard"
        in gristmill("export", tmp_path / "copied", "--to", "energon", "--out", tmp_path / "e").stdout
    )
    links = gristmill("export", pictures, "--to", "energon", "--out", f"{out}/e", *words, code=2).stderr
    assert (
        f"energon writes into folders alone. Give: gristmill export {pictures} --to energon --out e" in links
    )
    repeated = json.loads(gristmill("duplicates", pictures, pictures, "--json", *words).stdout)
    assert repeated["datasets"][0]["media"] == 5
    names = " ".join(one.name for one in store.list())
    assert "probe-" not in names
    assert bucket["endpoint"] not in store.read(".gristmill/run.json").decode()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("mix", "vflan", "--out", "x", "--source", "text-flan=http://b/x"), "there is no store for http:"),
        (("status", "s3://"), "expected SCHEME://BUCKET/PREFIX"),
        (("crawl", "urls.txt", "--out", "x", "--store-option", "region=x"), "is for an object store"),
        (("status", "s3://bucket/x", "--store-option", "region"), "expected KEY=VALUE"),
        (("hashes", ".", "--out", "s3://bucket/x.parquet"), "a path on this machine is expected"),
    ],
)
def test_what_needs_a_folder_or_another_address_says_so(typed, said, tmp_path):
    assert said in gristmill(*typed, code=2, cwd=tmp_path).stderr


def test_a_bucket_without_a_dataset_is_told(stored):
    words, out = stored
    assert f"{out} holds no dataset" in gristmill("status", out, *words, code=2).stderr


def test_lists_are_read_from_a_store(web, bucket, stored, tmp_path):
    words, out = stored
    store = ObjectStore(out, bucket)
    for n in range(2):
        store.put(f"lists/{n}.txt", web.url(f"/photo/{n}.jpg?w=64").encode())
    store.put("lists/README.md", b"no list")
    options = (*words, "--allow-private-addresses", "--workers", 0)
    for what, place, count in (("lists/1.txt", tmp_path / "one", 1), ("lists", f"{out}/two", 2)):
        asked = ("crawl", f"{out}/{what}", "--out", place, *options)
        assert f"{out}/{what}: fetched" in gristmill(*asked).stderr
        store.delete("lists/1.txt") if count == 2 else None
        assert "fetched" not in gristmill(*asked).stderr  # the copy is gone on with
        typed = words if count == 2 else ()
        said = json.loads(gristmill("status", place, "--json", *typed).stdout)
        assert said["counts"]["packed"] == count
    assert (
        json.loads((tmp_path / "one/dataset.json").read_text())["sources"][0]["place"] == f"{out}/lists/1.txt"
    )
    said = gristmill("crawl", f"{out}/nothing", "--out", tmp_path / "x", *options, code=2).stderr
    assert "there is no such object, and none below it" in said
    assert not (tmp_path / "x").exists()


def test_what_lies_here_of_a_dataset_that_is_gone_is_told_and_removed(web, bucket, stored, tmp_path):
    words, out = stored
    place = tmp_path / "urls.txt"
    place.write_text(web.url("/photo/1.jpg?w=64"))
    for name in ("one", "two"):
        gristmill("crawl", place, "--out", f"{out}/{name}", *words, "--allow-private-addresses")
    other, gone = ObjectStore(f"{out}/one", bucket), ObjectStore(f"{out}/two", bucket)
    for one in list(gone.list()):
        gone.delete(one.name)
    (tmp_path / "cache" / "stores" / "odd").mkdir()
    said = f"{gone}: no dataset is there any more; "
    assert f"gristmill clean {gone}" in gristmill("status", gone, *words, code=2).stderr
    assert "on this machine" not in gristmill("status", other, *words).stdout.split("report.html")[1]
    assert f"{said}would remove" in gristmill("clean", out, "--dry-run", *words).stdout
    assert gone.work("").exists()
    cleaned = gristmill("clean", out, *words).stdout
    assert said in cleaned
    assert f"{other}: removed" in cleaned
    assert other.work("").exists()
    assert not gone.work("").exists()
    assert "holds no dataset" in gristmill("clean", gone, *words, code=2).stderr


def test_an_address_is_no_path_whatever_lies_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:/bucket/x").mkdir(parents=True)
    (tmp_path / "ftp:/bucket").mkdir(parents=True)
    for address in ("s3://bucket/x", Path("s3://bucket/x")):
        assert store_at(address) == ObjectStore("s3://bucket/x")
    assert LocalStore(tmp_path).at("s3://bucket/x") == ObjectStore("s3://bucket/x")
    assert DatasetPlace(exists=True).convert("s3://bucket/x", None, None) == ObjectStore("s3://bucket/x")
    assert local_list("s3://bucket/x") is None
    for refuse in (
        lambda: store_at("ftp://bucket"),
        lambda: local_list("ftp://bucket"),
        lambda: recipe_loader("s3://bucket/x.toml"),
        lambda: find("s3://bucket/x.toml"),
    ):
        with pytest.raises(UsageError, match=r"\bURL\b|no store for ftp"):
            refuse()


@pytest.mark.parametrize("typed", ["s3:/bucket/x", "s3:bucket/x", "S3:/bucket/x", "s3//bucket/x"])
def test_an_address_that_lacks_a_slash_is_refused_everywhere(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s3:/bucket/x").mkdir(parents=True)
    (tmp_path / "s3/bucket/x").mkdir(parents=True)
    for take in (
        store_at,
        LocalStore(tmp_path).at,
        ObjectStore("s3://bucket/y").at,
        local_list,
        is_list,
        lambda place: pairs("--source", [f"k={place}"]),
        lambda place: DatasetPlace().convert(place, None, None),
        lambda place: InputPlace(exists=True).convert(place, None, None),
        lambda place: LocalPath().convert(place, None, None),
    ):
        with pytest.raises((UsageError, BadParameter), match=r"did you mean s3://bucket/x\? .* \./"):
            take(typed)


def test_a_folder_with_such_a_name_is_taken_when_it_is_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "s3:/x"
    there.mkdir(parents=True)
    assert store_at("./s3:/x") == LocalStore(there)
    assert DatasetPlace().convert("./s3:/x", None, None) == there
    assert local_list("./s3:/x") == local_list(str(there))
    assert store_at("s3") == ObjectStore("s3://bucket/y").at("s3") == LocalStore(Path("s3"))


def test_a_mixture_file_names_addresses_as_they_are(tmp_path):
    file = tmp_path / "mine.toml"
    parts = "".join(
        f'[[part]]\n{kind} = "s3://bucket/{kind}"\n' for kind in ("folder", "list", "conversations")
    )
    file.write_text(f'{parts}media = "s3://bucket/media/"')
    folder, crawled, talks = find(str(file)).parts
    assert folder.folder == "s3://bucket/folder"
    assert crawled.command[:2] == ("crawl", "s3://bucket/list")
    assert talks.command[:2] == ("import", "s3://bucket/conversations")
    assert talks.command[5] == "s3://bucket/media/"
    file.write_text('[[part]]\nfolder = "s3:/bucket/x"')
    with pytest.raises(RecipeError, match="did you mean s3://bucket/x"):
        find(str(file))


def test_a_file_url_is_a_path_wherever_a_path_is_taken(tmp_path):
    for url in (f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a b", f"FILE:{tmp_path}/a b"):
        assert store_at(url) == LocalStore(tmp_path / "a b")
        assert pairs("--source", [f"k={url}"]) == {"k": str(tmp_path / "a b")}
        assert DatasetPlace().convert(url, None, None) == tmp_path / "a b"
    (tmp_path / "a b").write_text("x")
    assert local_list(f"file://{tmp_path}/a%20b") == local_list(str(tmp_path / "a b"))
    for ask in (store_at, local_list, lambda url: pairs("--source", [f"k={url}"])):
        with pytest.raises(UsageError, match=r"names a machine, data.*file:///data/x"):
            ask("file://data/x")
    with pytest.raises(BadParameter, match="names a machine"):
        LocalPath().convert("file://data/x", None, None)
