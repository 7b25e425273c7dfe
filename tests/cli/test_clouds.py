"""Every command on a dataset in Google's cloud, in Azure, and in a folder that is named as a URL."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from small_parts import write_mixture, write_parts
from typed import gristmill

from gristmill.storage.local import LocalStore
from gristmill.storage.store import store_at
from gristmill.testing import archived
from gristmill.testing.archives import zipped
from gristmill.testing.web import FakeWeb

TOY = Path(archived.__path__[0]) / "zip.py"
STORES = {"google": ("gs", "GOOGLE_"), "azure": ("az", "AZURE_STORAGE_")}
pytestmark = pytest.mark.slow
HERE = ("--allow-private-addresses", "--workers", 0)


@pytest.fixture(params=["file", "google", "azure"])
def place(request, tmp_path, monkeypatch):
    """An address below which nothing lies yet; commands find its server in their environment."""
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
    if request.param == "file":
        return f"file://{tmp_path}/a%20folder"
    scheme, variables = STORES[request.param]
    for name, value in request.getfixturevalue(request.param).items():
        monkeypatch.setenv(f"{variables}{name.upper()}", value)
    return f"{scheme}://bucket/{tmp_path.name}"


@pytest.fixture
def web():
    with FakeWeb() as web:
        yield web


def made(where, folder="shards"):
    store = store_at(where)
    return {one.name: store.read(one.name) for one in store.list(folder) if "_stats" not in one.name}


def test_a_list_there_is_crawled_looked_at_repaired_asked_again_and_exported(place, web, tmp_path):
    urls = [*(web.url(f"/photo/{n}.jpg?w=64") for n in range(5)), web.url("/fault/404/1")]
    (tmp_path / "urls.txt").write_text("\n".join(urls))
    store_at(place).put("lists/urls.txt", tmp_path / "urls.txt")
    out, asked = f"{place}/pictures", ("crawl", f"{place}/lists/urls.txt", "--out")
    gristmill(*asked, out, *HERE)
    gristmill("crawl", tmp_path / "urls.txt", "--out", tmp_path / "local", *HERE)
    assert made(out) == made(tmp_path / "local") != {}
    assert json.loads(gristmill("status", out, "--json").stdout)["counts"]["packed"] == 5
    assert "all as recorded" in gristmill("verify", place).stdout
    store_at(out).delete("shards/00000.tar")
    assert "is missing" in gristmill("verify", out, "--repair", code=None).stdout
    gristmill(*asked, out, *HERE)
    assert made(out) == made(tmp_path / "local")
    assert "asking again" in gristmill("retry", out, "--reason", "http_404", *HERE).stderr
    assert b"</html>" in store_at(out).read("report.html")
    gristmill("clean", place)
    gristmill("export", out, "--to", "interleaved-parquet", "--out", tmp_path / "export")
    assert list((tmp_path / "export").glob("*.parquet"))
    assert json.loads(gristmill("duplicates", out, "--json").stdout)["datasets"][0]["media"] == 5
    planned = json.loads(gristmill("plan", f"{place}/lists/urls.txt", "--json").stdout)
    assert planned["sources"]["list"].endswith("/lists/urls.txt")
    assert "all as recorded" in gristmill("verify", out).stdout


def test_sources_there_are_read_and_conversations_imported(place, tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(picture, "PNG")
    pictures = {f"images/{n:05d}.png": picture.getvalue() + bytes([n]) for n in range(12)}
    rows = [{"id": n, "image": f"toy/images/{n:05d}.png", "caption": f"picture {n}"} for n in range(12)]
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "Teal."}]
    told = [{"id": str(n), "image": name, "conversations": turns} for n, name in enumerate(pictures)]
    up = tmp_path / "up"
    for folder in ("rows", "media", "mine"):
        (up / folder).mkdir(parents=True)
    (up / "rows/a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    zipped(up / "media/pictures.zip", pictures)
    (up / "mine/mine.json").write_text(json.dumps(told))
    for one in LocalStore(up).list():
        store_at(place).put(f"up/{one.name}", up / one.name)
    for where, out in ((up, tmp_path / "local"), (f"{place}/up", place)):
        sources = ("--source", f"annotations={where}/rows", "--source", f"pictures={where}/media")
        gristmill("run", TOY, *sources, "--out", out)
        words = ("--from", "llava", "--media", f"{where}/media/pictures.zip")
        gristmill("import", f"{where}/mine/mine.json", *words, "--out", f"{out}/mine")
    for name in ("toy-zip", "mine"):
        assert made(f"{place}/{name}") == made(tmp_path / "local" / name) != {}
    gristmill("export", f"{place}/mine", "--to", "llava", "--out", tmp_path / "export")
    assert len(json.loads((tmp_path / "export/train.json").read_text())) == 12
    assert "all as recorded" in gristmill("verify", place).stdout


def test_parts_there_are_mixed_and_indexed(place, tmp_path):
    folder = write_parts(tmp_path / "data", {"a-sums": (3, 23), "b-text": (2, 101)})
    for one in LocalStore(folder).list():
        store_at(place).put(one.name, folder / one.name)
    mixture = write_mixture(tmp_path / "small.py", {"a-sums": 'prefix="p-"', "b-text": "weight=1.5"})
    gristmill("mix", mixture, "--out", folder)
    gristmill("mix", mixture, "--out", place)
    assert made(f"{place}/small") == made(folder / "small") != {}
    index = f"{place}/index"
    given = ("--source", f"a-sums={place}/a-sums", "--parts", place, "--index-only")
    gristmill("mix", mixture, "--out", index, *given)
    gristmill("mix", mixture, "--out", tmp_path / "index", "--parts", folder, "--index-only")
    assert made(f"{index}/small", "references") == made(tmp_path / "index/small", "references") != {}
    assert "all as recorded" in gristmill("verify", index).stdout
    assert json.loads(gristmill("status", f"{index}/small", "--json").stdout)["complete"]
    asked = ("export", f"{place}/small", "--to", "webdataset-index", "--out", tmp_path / "wids")
    refused = place.startswith("az:")
    said = gristmill(*asked, code=2 if refused else 0)
    assert refused == ("wids reads shards in s3:// and gs:// alone" in said.stderr)
