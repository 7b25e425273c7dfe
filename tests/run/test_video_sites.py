"""Datasets of videos that nobody brought: they wait for a person, or ask the videos' pages where that is allowed."""

import json
import sys
from functools import partial

import pytest
from typed import gristmill

from gristmill.crawl.sites.ask import ask
from gristmill.testing.archives import foldered
from gristmill.testing.videos import MadeVideo, made_video
from gristmill.testing.web import FakeWeb

RECIPE = """
from gristmill.spec.locator import Url, Video
from gristmill.spec.media_source import MemberLayout
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn
from gristmill.steps.clip import Clip
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


def parse(row):
    at = Url(row["page"]) if row["video"] == "direct" else Video("videos", row["video"], row["page"])
    ref = MediaRef(kind="video", at=at)
    parts = (Show(media="video"), Text(text=row["caption"]))
    return Sample(key=row["video"], media={"video": ref}, turns=(Turn(role="caption", parts=parts),))


RECIPE = Recipe(
    name="toy_videos", version="2026.12.1", title="Toy videos", description="Made up.",
    homepage="https://example.org/toy", license="cc0-1.0",
    sources=(
        Source(key="annotations", by_hand="Have it made.", format="jsonl", license="cc0-1.0"),
        Source(key="videos", role="media", format="archives", by_hand="Fetch them by hand.",
               layouts=(MemberLayout(name="any", member=r"(?:.*/)?([^/]+\\.mp4)", path=r"\\1"),)),
    ),
    parse=parse, writes=frozenset({"media.at"}),
    steps=(TakeRows(format="jsonl"), Clip(), Pack(shard_samples=10)),
    expect=Expect(kept_share=0.9),
)
"""


PLAYED = """
import json, pathlib, sys, urllib.error, urllib.request

asked = json.loads(sys.stdin.readline())
name = asked["page"].rpartition("/")[2]
try:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked["page"]) as answer:
        pathlib.Path(asked["folder"], name).write_bytes(answer.read())
    told = {"files": [name], "format": "0", "height": 48}
except urllib.error.HTTPError as err:
    told = {"refused": {"text": str(err), "kinds": ["DownloadError", "HTTPError"], "status": err.code}}
print(json.dumps(told))
"""
"""A child that fetches one video as yt-dlp's does, which takes a second of processor time to begin."""


@pytest.fixture(params=["played", pytest.param("yt-dlp", marks=pytest.mark.slow)])
def asking(request, monkeypatch):
    """Who asks pages; what yt-dlp itself does with them, tests/crawl/sites shows."""
    if request.param == "played":
        played = partial(ask, command=(sys.executable, "-P", "-c", PLAYED))
        monkeypatch.setattr("gristmill.steps.acquirers.video.ask", played)


@pytest.fixture
def web():
    with FakeWeb(hosts=1) as web:
        yield web


@pytest.fixture
def words(tmp_path, web):
    """The words of a command about three videos with a page each, and one at an address of its own."""
    (tmp_path / "toy_videos.py").write_text(RECIPE)
    rows = tmp_path / "rows.jsonl"
    named = [
        {"video": name, "page": web.url(f"/{name}.mp4"), "caption": "a caption"}
        for name in ("a", "b", "c", "direct")
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in named))
    return [tmp_path / "toy_videos.py", "--out", tmp_path / "out", "--source", f"annotations={rows}"]


ALLOWED = (
    "--set",
    "clip.ask_sites=true",
    "--set",
    "clip.allow_private_addresses=true",
    "--set",
    "clip.sleep_s=0",
)


def test_without_videos_and_without_permission_it_waits_and_says_both_ways(words, web):
    for said in (gristmill("run", *words, "--workers", 0, code=3).stderr, gristmill("plan", *words).stdout):
        assert "Fetch them by hand." in said
        assert "--source videos=PATH" in said
        assert "--set clip.ask_sites=true" in said
    assert not web.hits


def test_plan_says_who_is_asked_and_with_which_runtime(words, web):
    said = gristmill("plan", *words, *ALLOWED).stdout
    assert "nobody brought it: what lies in it is asked for one by one" in said
    assert "JavaScript runtime" in said
    assert "WAITS FOR YOU" not in said
    assert not web.hits


@pytest.mark.usefixtures("asking")
def test_a_folder_is_read_first_and_pages_are_asked_for_the_rest(words, web, tmp_path):
    video = made_video(MadeVideo(frames=12))
    web.put("/b.mp4", video, content_type="video/mp4")
    web.put("/direct.mp4", video, content_type="video/mp4")
    web.put("/c.mp4", b"", status=429)
    foldered(tmp_path / "mine", {"a.mp4": video})
    run = ("run", *words, "--source", f"videos={tmp_path / 'mine'}", "--workers", 0, *ALLOWED)
    said = gristmill(*run, code=3).stderr
    assert "JavaScript runtime" in said
    assert "127.0.0.1" in said
    assert "is left alone until" in said
    web.put("/c.mp4", b"", status=404)
    asked = web.hits.total()
    assert "is left alone until" in gristmill(*run, code=3).stderr
    assert web.hits.total() == asked  # it is not asked before the time is over
    for state in (tmp_path / "out").rglob("127.0.0.1*.json"):
        state.write_text("{}")  # the time is over
    web.forget()
    gristmill(*run, "--min-kept", "0.5")
    assert not any("/b.mp4" in path for path in web.hits)  # what came is not asked for again
    status = json.loads(gristmill("status", tmp_path / "out", "--json").stdout)
    assert (status["counts"]["packed"], status["dropped"]) == (3, {"http_404": 1})
    web.put("/c.mp4", video, content_type="video/mp4")
    retried = ("retry", tmp_path / "out", "--recipe", words[0], "--reason", "http_404", *run[4:8])
    assert "begun with --set=clip.ask_sites=true" in gristmill(*retried, code=2).stderr
    gristmill(*retried, *ALLOWED, "--workers", 0)
    status = json.loads(gristmill("status", tmp_path / "out", "--json").stdout)
    assert (status["counts"]["packed"], status["dropped"]) == (4, {})
    half = next((tmp_path / "out").rglob("hosts")) / "sites" / ("0" * 32) / "v.mp4.part"
    half.parent.mkdir()
    half.write_bytes(b"a page that broke off")
    assert "removed 3 files" in gristmill("clean", tmp_path / "out").stdout  # it, and two spools
    assert not half.parent.exists()
    assert list(half.parents[1].glob("*.json"))  # until when the site is left alone
