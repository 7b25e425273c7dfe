"""Documents read back by the libraries that trainers use: webdataset, and datasets with the declared features."""

import io

import orjson
import pytest
from document_world import document, run_here, samples, write
from PIL import Image

from gristmill.cli.metadata_files import write_metadata_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(shared_web, tmp_path_factory):
    """Documents of 1 to 6 images, and one of 12 where nobody looks when features are guessed."""

    def page(count, first):
        return document(
            [shared_web.url(f"/photo/{n % 12}.jpg?w=64&n={first + n}") for n in range(count)], first
        )

    base = tmp_path_factory.mktemp("read-back")
    pages = [page(1 + n % 6, 100 * n) for n in range(90)]
    pages.insert(80, page(12, 100_000))
    place = write(base / "src", {3: pages, 20: [page(2, 200_000), document(["http://127.0.0.1:1/a.jpg"], 7)]})
    ended, _ = run_here(place, base / "out", settings={"pack.shard_samples": "60"})
    assert ended.complete
    write_metadata_files(ended.folder, ended.recipe)
    return base / "out"


@pytest.mark.filterwarnings("ignore")  # it leaves its files to the garbage collector
def test_webdataset(made):
    wds = pytest.importorskip("webdataset")
    stored = samples(made)
    urls = sorted(str(path) for path in (made / "shards").glob("*.tar"))
    read = list(wds.WebDataset(urls, shardshuffle=False, empty_check=False).decode("pil"))
    assert [sample["__key__"] for sample in read] == list(stored)
    for sample in read:
        parts = stored[sample["__key__"]]
        images = [name for name in sample if name.endswith(".jpg")]
        assert images == [name for name in parts if name != "json"]
        assert sample["json"] == orjson.loads(parts["json"])
        for name in images:
            facts = sample["json"]["media"][name]
            assert sample[name].size == (facts["width"], facts["height"])
    assert {len([n for n in sample if n.endswith(".jpg")]) for sample in read} == {1, 2, 3, 4, 5, 6, 12}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_with_the_declared_features(made, tmp_path, monkeypatch, streaming):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    more = {"streaming": True} if streaming else {"cache_dir": str(tmp_path / "cache")}
    loaded = datasets.load_dataset(str(made), split="train", **more)
    stored = samples(made)
    rows = list(loaded)
    assert [row["__key__"] for row in rows] == list(stored)
    names = [f"{n:03d}.jpg" for n in range(12)]
    for row in rows:
        parts = stored[row["__key__"]]
        record = orjson.loads(parts["json"])
        for name in names:
            if name not in parts:
                assert row[name] is None
                assert row["json"]["media"][name] is None
                continue
            assert row["json"]["media"][name] == record["media"][name]
            assert row[name].size == Image.open(io.BytesIO(parts[name])).size
        assert row["json"]["upstream"]["similarity_matrix"] == record["upstream"]["similarity_matrix"]
        assert row["json"]["upstream"]["text_list"] == record["upstream"]["text_list"]
        shown = [p for turn in row["json"]["turns"] for p in turn["parts"]]
        told = [{k: v for k, v in piece.items() if v is not None} for piece in shown]
        assert told == record["turns"][0]["parts"]
