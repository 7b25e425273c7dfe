"""The made-up hub, through the unmodified client."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from gristmill.testing.hub import DEFAULT_REVISION, FakeHub

REPO = "kakaobrain/coyo-700m"
LARGE = bytes(range(256)) * 4000
FILES = {f"data/part-{n:05d}.parquet": LARGE[: 100_000 + n] for n in range(23)} | {
    "README.md": b"# Made up\n",
    "data/_SUCCESS": b"",
    "data/large file.bin": LARGE,
}
TOKEN = "hf_made_up"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    repos = {REPO: FILES, "gsm8k": {"a.jsonl": b"{}\n"}, "owner/secret": FILES, "owner/gated": FILES}
    gated = ["owner/gated", "gsm8k"]
    with FakeHub(repos, private=["owner/secret"], gated=gated, granted=["gsm8k"], page_size=5) as hub:
        yield hub


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client's pauses between tries, noted and left out."""
    pauses: list[float] = []
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", pauses.append)
    return pauses


def api(hub: FakeHub, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def download(hub: FakeHub, path: str, cache: Path, **more: object) -> Path:
    arguments = {"repo_id": REPO, "repo_type": "dataset", "token": False} | more
    return Path(hf_hub_download(filename=path, endpoint=hub.url, cache_dir=cache, **arguments))


# facts


def test_dataset_info(hub: FakeHub) -> None:
    for revision in (None, "main", DEFAULT_REVISION):
        info = api(hub).dataset_info(REPO, revision=revision, files_metadata=True)
        assert (info.id, info.sha, info.private, info.gated) == (REPO, DEFAULT_REVISION, False, False)
    assert info.siblings is not None
    sizes = {sibling.rfilename: sibling.size for sibling in info.siblings}
    assert sizes == {path: len(data) for path, data in FILES.items()}


def test_tree_comes_in_pages(hub: FakeHub) -> None:
    entries = list(api(hub).list_repo_tree(REPO, repo_type="dataset", recursive=True))
    assert {entry.path for entry in entries} == {*FILES, "data"}
    assert sum(path.partition("?")[0].endswith("/tree/main") for path in hub.hits) == 6
    files = {entry.path: entry for entry in entries if hasattr(entry, "lfs")}
    large = files["data/large file.bin"]
    assert large.lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert (large.size, files["README.md"].lfs) == (len(LARGE), None)
    assert files["README.md"].blob_id == hashlib.sha1(b"blob 10\0# Made up\n").hexdigest()
    assert sorted(api(hub).list_repo_files(REPO, repo_type="dataset")) == sorted(FILES)


def test_tree_of_a_folder_and_without_depth(hub: FakeHub) -> None:
    top = [entry.path for entry in api(hub).list_repo_tree(REPO, repo_type="dataset")]
    assert top == ["README.md", "data"]
    inside = [entry.path for entry in api(hub).list_repo_tree(REPO, "data", repo_type="dataset")]
    assert sorted(inside) == sorted(path for path in FILES if path.startswith("data/"))
    with pytest.raises(EntryNotFoundError):
        list(api(hub).list_repo_tree(REPO, "nowhere", repo_type="dataset"))


def test_paths_info(hub: FakeHub) -> None:
    infos = api(hub).get_paths_info(REPO, ["README.md", "data/part-00003.parquet", "no"], repo_type="dataset")
    assert [(info.path, info.size) for info in infos] == [
        ("README.md", 10),
        ("data/part-00003.parquet", 100_003),
    ]


def test_facts_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "repo" / "data").mkdir(parents=True)
    (tmp_path / "repo" / "data" / "a.bin").write_bytes(LARGE)
    with FakeHub({"o/n": tmp_path / "repo"}, revision="f" * 40, redirect=False) as hub:
        path = download(hub, "data/a.bin", tmp_path / "cache", repo_id="o/n")
        assert path.read_bytes() == LARGE
        assert path.parts[-3] == "f" * 40
        assert hub.addresses == ["127.0.0.1"]


# downloads


def test_download_small_and_large(hub: FakeHub, tmp_path: Path) -> None:
    for path in ("README.md", "data/large file.bin", "data/_SUCCESS"):
        assert download(hub, path, tmp_path).read_bytes() == FILES[path]
    blobs = {blob.name for blob in tmp_path.glob("*/blobs/*")}
    assert hashlib.sha256(LARGE).hexdigest() in blobs  # the client names files by entity tag
    assert any(path.startswith("/_content/") for path in hub.hits)


def test_a_cut_download_resumes_where_it_broke(tmp_path: Path, no_waiting: list[float]) -> None:
    """The client keeps whole pieces of 10 MiB of what it got before the cut."""
    with FakeHub({"o/n": {"huge.bin": LARGE * 21}}) as hub:
        hub.cut("huge*", after_bytes=11_000_000)
        hub.cut("huge*", after_bytes=10_600_000)
        assert download(hub, "huge.bin", tmp_path, repo_id="o/n").read_bytes() == LARGE * 21
        ranges = [request.headers["range"] for request in hub.log if "range" in request.headers]
    assert ranges == [f"bytes={10 << 20}-", f"bytes={20 << 20}-"]
    assert no_waiting == [1, 1]


def test_a_download_cut_every_time_fails(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut("data/large*", after_bytes=0, times=99)
    with pytest.raises(Exception, match="peer closed connection"):
        download(hub, "data/large file.bin", tmp_path)


def test_statuses_that_pass(hub: FakeHub, tmp_path: Path, no_waiting: list[float]) -> None:
    hub.fail("data/part-00001.parquet", 429, headers=[("Retry-After", "3")])
    assert download(hub, "data/part-00001.parquet", tmp_path).stat().st_size == 100_001
    hub.fail("tree", 503, times=2)
    assert len(api(hub).list_repo_files(REPO, repo_type="dataset")) == len(FILES)
    assert no_waiting == [4, 1, 2]
    hub.fail("data/part-00002.parquet", 500)
    with pytest.raises(HfHubHTTPError, match="500"):
        download(hub, "data/part-00002.parquet", tmp_path)


def test_snapshot_takes_what_matches(hub: FakeHub, tmp_path: Path) -> None:
    folder = snapshot_download(
        REPO,
        repo_type="dataset",
        revision=DEFAULT_REVISION,
        endpoint=hub.url,
        cache_dir=tmp_path,
        allow_patterns=["data/part-0000*.parquet"],
        token=False,
    )
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*.*")}
    assert found == {path: data for path, data in FILES.items() if path.startswith("data/part-0000")}


def test_spoiled_bytes_keep_their_checksum(hub: FakeHub, tmp_path: Path) -> None:
    """The client compares sizes only: whoever wants the bytes to be right must compare checksums."""
    hub.spoil(REPO, "data/large file.bin")
    path = download(hub, "data/large file.bin", tmp_path)
    info = api(hub).get_paths_info(REPO, ["data/large file.bin"], repo_type="dataset")[0]
    assert path.stat().st_size == info.size
    assert info.lfs.sha256 == path.resolve().name == hashlib.sha256(LARGE).hexdigest()
    assert hashlib.sha256(path.read_bytes()).hexdigest() != info.lfs.sha256


@pytest.mark.parametrize(
    ("spec", "start", "end"),
    [("0-9", 0, 10), ("5-", 5, None), ("-7", -7, None), ("1023990-2000000", 1023990, None)],
)
def test_ranges(hub: FakeHub, spec: str, start: int, end: int | None) -> None:
    url = f"{hub.url}/datasets/{REPO}/resolve/main/data/large%20file.bin"
    request = urllib.request.Request(url, headers={"Range": f"bytes={spec}"})
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 206
        assert response.read() == LARGE[start:end]
        assert response.headers["Content-Range"].endswith(f"/{len(LARGE)}")
    request = urllib.request.Request(url, headers={"Range": "bytes=2000000-"})
    with pytest.raises(urllib.error.HTTPError, match="416") as caught:
        urllib.request.urlopen(request, timeout=5)
    caught.value.close()


# refusals


def test_what_is_missing(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(EntryNotFoundError):
        download(hub, "data/none.parquet", tmp_path)
    with pytest.raises(RevisionNotFoundError):
        download(hub, "README.md", tmp_path, revision="a" * 40)
    with pytest.raises(RevisionNotFoundError):
        api(hub).dataset_info(REPO, revision="v2")
    with pytest.raises(RepositoryNotFoundError):
        download(hub, "README.md", tmp_path, repo_id="owner/none")
    with pytest.raises(RepositoryNotFoundError):
        api(hub).list_repo_files("owner/none", repo_type="dataset")


def test_gated(hub: FakeHub, tmp_path: Path) -> None:
    assert api(hub).dataset_info("owner/gated").gated == "auto"
    for token in (False, TOKEN):
        with pytest.raises(GatedRepoError, match="restricted"):
            download(hub, "README.md", tmp_path, repo_id="owner/gated", token=token)
    with pytest.raises(GatedRepoError):
        download(hub, "a.jsonl", tmp_path, repo_id="gsm8k")
    assert download(hub, "a.jsonl", tmp_path, repo_id="gsm8k", token=TOKEN).read_bytes() == b"{}\n"


def test_tokens(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api(hub).dataset_info("owner/secret")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        api(hub, "hf_wrong").dataset_info(REPO)
    assert api(hub, TOKEN).dataset_info("owner/secret").private
    path = download(hub, "data/large file.bin", tmp_path, repo_id="owner/secret", token=TOKEN)
    assert path.read_bytes() == LARGE
    content = [request for request in hub.log if request.path.startswith("/_content/")]
    assert content
    assert not any("authorization" in request.headers for request in content)
    assert api(hub, TOKEN).whoami()["name"] == "somebody"


# nobody else is asked

CLIENT = """
    import json, sys
    asked = set()
    def note(event, details):
        if event == "socket.getaddrinfo":
            asked.add(details[0])
        elif event == "socket.connect" and isinstance(details[1], tuple):
            asked.add(details[1][0])
    sys.addaudithook(note)
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    folder = snapshot_download(sys.argv[1], repo_type="dataset", allow_patterns="data/part-0000*")
    path = hf_hub_download(sys.argv[1], "data/large file.bin", repo_type="dataset")
    files = HfApi().list_repo_files(sys.argv[1], repo_type="dataset")
    print(json.dumps([sorted(asked), len(files)]))
"""


def test_the_client_asks_nobody_else(hub: FakeHub, tmp_path: Path) -> None:
    """With nothing but HF_ENDPOINT set: no switch for telemetry or for another protocol is needed."""
    kept = {key: value for key, value in os.environ.items() if not key.upper().startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLIENT), REPO],
        env=kept | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked, count = json.loads(done.stdout)
    assert asked == ["127.0.0.1", "127.0.0.2"]
    assert count == len(FILES)
