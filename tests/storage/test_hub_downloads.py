"""The hub through its unmodified client, against the made-up hub on the loopback."""

import hashlib
import http.server
import io
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.spec.errors import AccessError, SourceError
from gristmill.storage.hub import (
    MODELS,
    HubFile,
    commit_of,
    download,
    hub_repo,
    hub_url,
    list_files,
    read_range,
)
from gristmill.testing.hub import DEFAULT_REVISION, FakeHub

REPO = "owner/captions"
LARGE = bytes(range(256)) * 20_000  # 5 MB, so that a cut leaves something to go on from
FILES = {
    "data/part-00001.parquet": LARGE,
    "data/part-00000.parquet": LARGE[:70_000],
    "data/_SUCCESS": b"",
    "README.md": b"# Made up\n",
    "other/part-00002.parquet": b"small",
}
PATTERNS = ("data/*.parquet",)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    models = {"x.tar.gz.aa": LARGE}
    repos = {REPO: FILES, "owner/gated": FILES, "owner/secret": FILES, f"{MODELS}{REPO}": models}
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with FakeHub(repos, gated=["owner/gated"], granted=["owner/gated"], private=["owner/secret"]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def large() -> HubFile:
    return list_files(REPO, DEFAULT_REVISION, PATTERNS)[1]


def test_files_are_listed_in_the_order_of_their_names_with_checksums(hub):
    found = list_files(REPO, DEFAULT_REVISION, ("data/*.parquet", "README.md"))
    assert [file.name for file in found] == [
        "README.md",
        "data/part-00000.parquet",
        "data/part-00001.parquet",
    ]
    assert [len(file.digest) for file in found] == [40, 64, 64]  # git object, SHA-256
    for file in found:
        assert file.size_bytes == len(FILES[file.name])
    assert found[2].digest == hashlib.sha256(LARGE).hexdigest()


def test_the_client_writes_no_bars_of_its_own(hub, tmp_path, monkeypatch):
    from huggingface_hub.utils.tqdm import enable_progress_bars

    enable_progress_bars()
    file, screen = large(), io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    download(REPO, DEFAULT_REVISION, file, tmp_path)
    assert screen.getvalue() == ""


@pytest.mark.parametrize(("asked", "written"), [(None, False), ("warning", True)])
def test_the_client_writes_no_warnings_of_its_own_unless_it_is_asked_to(
    hub, tmp_path, monkeypatch, caplog, asked, written
):
    from huggingface_hub.utils import logging

    monkeypatch.delenv("HF_HUB_VERBOSITY", raising=False)
    if asked:
        monkeypatch.setenv("HF_HUB_VERBOSITY", asked)
    logging.set_verbosity(logging.WARNING)
    hub.fail("tree", 503)
    file = large()
    hub.cut(file.name, after_bytes=2_000_000)
    download(REPO, DEFAULT_REVISION, file, tmp_path)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("huggingface_hub")]
    assert bool(said) is written, said


def test_a_pattern_that_nothing_matches_is_said(hub):
    with pytest.raises(SourceError, match=r"holds no file like \*\.csv"):
        list_files(REPO, DEFAULT_REVISION, ("*.csv",))


@pytest.mark.parametrize(
    "name",
    [
        "data/../../x.parquet",
        "data//x.parquet",
        "data/a\\..\\x.parquet",
        "data/a\nb.parquet",
        "data/\x1b[1m.parquet",
    ],
)
def test_names_that_lead_out_of_the_folder_or_cannot_be_printed(monkeypatch, name):
    with FakeHub({REPO: {**FILES, name: b"x"}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(
            SourceError, match=r"owner/captions lists a file called '.*--source KEY=FOLDER"
        ) as told:
            list_files(REPO, DEFAULT_REVISION, PATTERNS)
    assert str(told.value).isprintable()


def test_a_token_that_the_hub_does_not_know(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_yesterday")
    with pytest.raises(AccessError, match=r"does not accept the token .*Set HF_TOKEN"):
        list_files(REPO, DEFAULT_REVISION, PATTERNS)


def test_a_file_is_fetched_below_the_folder(hub, tmp_path):
    for file in list_files(REPO, DEFAULT_REVISION, ("*",)):
        path = download(REPO, DEFAULT_REVISION, file, tmp_path / "sources")
        assert path == tmp_path / "sources" / file.name
        assert path.read_bytes() == FILES[file.name]


def test_other_bytes_than_promised_are_refused_and_removed(hub, tmp_path):
    file = large()
    hub.spoil(REPO, file.name)
    with pytest.raises(SourceError, match=r"damaged.*checksum.*same command again"):
        download(REPO, DEFAULT_REVISION, file, tmp_path)
    assert not (tmp_path / file.name).exists()


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_was_cut_or_changed_since_is_fetched_anew(hub, tmp_path, name):
    (file,) = list_files(REPO, DEFAULT_REVISION, (name,))
    path = download(REPO, DEFAULT_REVISION, file, tmp_path)
    body, was = path.read_bytes(), path.stat()
    path.write_bytes(body[: len(body) // 2])
    assert download(REPO, DEFAULT_REVISION, file, tmp_path).read_bytes() == body
    path.write_bytes(body[: len(body) // 2])
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))  # the client believes in times
    assert download(REPO, DEFAULT_REVISION, file, tmp_path).read_bytes() == body
    path.write_bytes(bytes(len(body)))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert download(REPO, DEFAULT_REVISION, file, tmp_path).read_bytes() == body


@pytest.mark.parametrize("short_bytes", [1, 1000])
def test_a_file_of_another_size_than_listed_is_refused(hub, tmp_path, short_bytes):
    small = HubFile(name="README.md", size_bytes=10 - short_bytes, digest="")
    with pytest.raises(SourceError, match="damaged"):
        download(REPO, DEFAULT_REVISION, small, tmp_path)


def test_cut_downloads_go_on_where_they_were_cut(hub, tmp_path, monkeypatch):
    file = large()
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1 << 18)
    hub.cut(file.name, after_bytes=2_000_000, times=2)
    told: list[int] = []
    assert download(REPO, DEFAULT_REVISION, file, tmp_path, told.append).read_bytes() == LARGE
    assert told[-1] == len(LARGE)
    assert told == sorted(told)
    assert told[0] < 1_000_000
    asked = [request.headers.get("range") for request in hub.log if request.method == "GET"]
    starts = [int(value.removeprefix("bytes=").partition("-")[0]) for value in asked if value]
    assert len(starts) >= 2
    assert starts == sorted(starts)
    assert starts[0] > 0


def test_a_download_that_fails_for_good_is_a_sentence_and_can_be_given_again(hub, tmp_path):
    file = large()
    hub.cut(file.name, after_bytes=1000, times=50)
    with pytest.raises(SourceError, match="same command again"):
        download(REPO, DEFAULT_REVISION, file, tmp_path)
    assert not (tmp_path / file.name).exists()
    hub.mend()
    assert download(REPO, DEFAULT_REVISION, file, tmp_path).read_bytes() == LARGE


def test_a_range_of_a_gated_file_is_asked_for_once(hub, monkeypatch):
    monkeypatch.setattr("gristmill.storage.hub._WAIT_S", 0.0)
    file = list_files("owner/gated", DEFAULT_REVISION, PATTERNS)[0]
    with pytest.raises(AccessError, match=rf"^{file.name}: .*accept its terms"):
        read_range("owner/gated", DEFAULT_REVISION, file.name, file.size_bytes, 0, 4)
    assert sum(file.name in request.target for request in hub.log) == 1


def test_gated_needs_terms_accepted_and_a_token(hub, tmp_path, monkeypatch):
    file = list_files("owner/gated", DEFAULT_REVISION, PATTERNS)[0]
    with pytest.raises(AccessError, match=rf"accept its terms.*{hub.url}/datasets/owner/gated.*HF_TOKEN"):
        download("owner/gated", DEFAULT_REVISION, file, tmp_path)
    monkeypatch.setenv("HF_TOKEN", hub.token)
    path = download("owner/gated", DEFAULT_REVISION, file, tmp_path)
    assert path.read_bytes() == FILES[file.name]


@pytest.mark.parametrize("repo", ["owner/nothing", "owner/secret"])
def test_a_repository_that_is_not_there_or_private(hub, repo):
    with pytest.raises(AccessError, match=r"not found on the hub.*HF_TOKEN"):
        list_files(repo, DEFAULT_REVISION, PATTERNS)


def test_a_revision_that_is_gone(hub):
    with pytest.raises(SourceError, match="no revision abcdef0"):
        list_files(REPO, "abcdef0", PATTERNS)


def test_a_file_that_is_gone(hub, tmp_path):
    file = HubFile(name="data/gone.parquet", size_bytes=1, digest="")
    with pytest.raises(SourceError, match="lacks a file that it listed"):
        download(REPO, DEFAULT_REVISION, file, tmp_path)


def test_a_hub_that_cannot_be_reached(hub, tmp_path, monkeypatch):
    file = large()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for call in (
        lambda: list_files(REPO, DEFAULT_REVISION, PATTERNS),
        lambda: download(REPO, DEFAULT_REVISION, file, tmp_path),
    ):
        with pytest.raises(SourceError, match=r"could not be reached.*HF_ENDPOINT"):
            call()


def test_a_hub_that_is_ill(hub):
    hub.fail("tree", 500, times=100)
    with pytest.raises(SourceError, match="refused owner/captions"):
        list_files(REPO, DEFAULT_REVISION, PATTERNS)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_ill_for_a_moment_is_asked_again(hub, tmp_path, monkeypatch, status):
    monkeypatch.setattr("gristmill.storage.hub._WAIT_S", 0.0)
    file = large()
    hub.fail(file.name, status, times=3)
    assert download(REPO, DEFAULT_REVISION, file, tmp_path).stat().st_size == file.size_bytes
    hub.fail(file.name, status, times=1000)
    with pytest.raises(
        SourceError, match=r"^data/\S+: the hub refused owner/captions: .*again later\.$"
    ) as said:
        download(REPO, DEFAULT_REVISION, file, tmp_path / "other")
    assert "\n" not in str(said.value)


def test_a_branch_stands_for_a_commit(hub):
    assert commit_of(REPO, "main") == DEFAULT_REVISION
    with pytest.raises(SourceError, match="no revision gone"):
        commit_of(REPO, "gone")


@pytest.mark.parametrize("name", ["README.md", "data/part-00000.parquet"])
def test_a_file_of_another_content_than_listed_is_refused(hub, tmp_path, name):
    (file,) = list_files(REPO, DEFAULT_REVISION, (name,))
    wrong = replace(file, digest=file.digest[::-1])
    with pytest.raises(SourceError, match="damaged"):
        download(REPO, DEFAULT_REVISION, wrong, tmp_path)
    assert not (tmp_path / name).exists()
    unknown = replace(file, digest="of a mirror that states another")
    assert download(REPO, DEFAULT_REVISION, unknown, tmp_path).read_bytes() == FILES[name]


class Odd(http.server.BaseHTTPRequestHandler):
    """What is no hub, or one whose listing has no end."""

    body, link = b"<html>Log in</html>", ""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        if self.link:
            self.server.pages += 1
            self.send_header(
                "Link",
                f'<http://{self.headers["Host"]}/{self.link}>; rel="next"'.replace(
                    "N", str(self.server.pages)
                ),
            )
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("body", "link", "said"),
    [
        (b"<html>Log in</html>", "", "is not the hub"),
        (b"", "", "is not the hub"),
        (b"[1, 2]", "", "is not the hub"),
        (b'"text"', "", "is not the hub"),
        (b"[]", "same", "leads back to .*/same: it has no end"),
        (b"[]", "pageN", "more than 20 pages"),
        (b"[" + b" " * 2000 + b"]", "", "more than 1,000 bytes in one answer"),
    ],
)
def test_what_is_no_hub_or_has_no_end_is_said(monkeypatch, body, link, said):
    monkeypatch.setattr("gristmill.storage.hub._MOST_PAGES", 20)
    monkeypatch.setattr("gristmill.storage.hub._MOST_SAID_BYTES", 1000)
    handler = type("Handler", (Odd,), {"body": body, "link": link})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.pages = 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(SourceError, match=said):
            list_files(REPO, DEFAULT_REVISION, PATTERNS)
        server.shutdown()


def test_an_answer_that_drips_is_given_up(hub, monkeypatch, tmp_path):
    monkeypatch.setattr("gristmill.storage.hub._LEAST_S", 0.0)
    monkeypatch.setattr("gristmill.storage.hub._SLOWEST_BYTES_S", 10**15)
    with pytest.raises(SourceError, match="too slowly"):
        list_files(REPO, DEFAULT_REVISION, PATTERNS)


def test_a_repository_of_models_is_another_than_one_of_datasets_of_its_name(hub, tmp_path):
    repo = f"{MODELS}{REPO}"
    assert commit_of(repo, "main") == DEFAULT_REVISION
    (file,) = list_files(repo, DEFAULT_REVISION, ("*.tar.gz.*",))
    assert download(repo, DEFAULT_REVISION, file, tmp_path).read_bytes() == LARGE
    assert read_range(repo, DEFAULT_REVISION, file.name, file.size_bytes, 5, 9) == LARGE[5:9]
    with pytest.raises(SourceError, match=f"See {hub.url}/{REPO}/tree/"):
        list_files(repo, DEFAULT_REVISION, PATTERNS)


@pytest.mark.parametrize(
    ("repo", "url"), [(REPO, f"hf://datasets/{REPO}"), (f"{MODELS}{REPO}", f"hf://{REPO}")]
)
def test_addresses_of_repositories(repo, url):
    assert (hub_url(repo), hub_repo(url)) == (url, repo)


@pytest.mark.parametrize(
    "url", ["hf://a", "hf://datasets/a", "hf://datasets/a/b/c", "hf://a/b/c", "a/b", "hf://"]
)
def test_what_is_no_address_of_a_repository(url):
    assert hub_repo(url) is None
