"""Asking video sites with the real yt-dlp on loopback, and what its refusals mean."""

import asyncio
import io
import json
import os
import sys
import time
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from threading import Event

import pytest

from gristmill.crawl.sites import child
from gristmill.crawl.sites.ask import SiteRefusal, SiteVideo, ask
from gristmill.crawl.sites.pauses import FIRST_S, LONGEST_S, Pauses, site_of
from gristmill.crawl.sites.refusals import Said, reason_of
from gristmill.crawl.sites.runtimes import sentence
from gristmill.crawl.sites.settings import SiteSettings
from gristmill.media.video.mux import muxed
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.errors import Stopped, UsageError
from gristmill.spec.reasons import Reason
from gristmill.testing.videos import MadeVideo, counters_in, made_video, without
from gristmill.testing.web import FakeWeb

BODY = b"\0\0\0\x20ftypisom" + bytes(range(256)) * 400
OURS = SiteSettings(allow_private_addresses=True, sleep_s=0)


@pytest.fixture(scope="module")
def web():
    with FakeWeb(hosts=1) as web:
        web.put("/v.mp4", BODY, content_type="video/mp4", headers=[("Accept-Ranges", "bytes")])
        yield web


def page(web: FakeWeb, name: str, *videos: str) -> str:
    shown = "".join(f'<video src="{video}"></video>' for video in videos)
    web.put(name, f"<html><title>t</title>{shown}</html>".encode(), content_type="text/html")
    return web.url(name)


async def together(picture: Path, sound: Path) -> Path:
    return muxed(
        BytesIO(picture.read_bytes()), BytesIO(sound.read_bytes()), picture.parent / "whole", VideoSettings()
    )


def asked(url: str, folder, settings=OURS, **more):
    return asyncio.run(ask(url, folder, settings, Event(), join=together, **more))


def test_the_video_of_a_page_comes_once(web, tmp_path):
    url = page(web, "/page", "/v.mp4")
    found = asked(url, tmp_path / "own")
    assert isinstance(found, SiteVideo)
    assert found.path.read_bytes() == BODY
    web.forget()
    assert asked(url, tmp_path / "own") == found
    assert not web.hits
    found.path.write_bytes(BODY[:-1])  # it is not whole any more
    assert isinstance(asked(url, tmp_path / "own", command=(sys.executable, "-c", "")), SiteRefusal)


def test_no_page_leads_into_a_private_network(web, tmp_path):
    web.forget()
    refused = asked(page(web, "/page", "/v.mp4"), tmp_path, SiteSettings(sleep_s=0))
    assert (refused.reason, web.hits) == (Reason.PRIVATE_ADDRESS, {})


@pytest.fixture
def said(monkeypatch, tmp_path):
    """What the child says of a page, in this process."""
    told = []
    monkeypatch.setattr(child, "guarding", lambda **_: child.Guard(addresses=False))
    monkeypatch.setattr(child, "tell", lambda **one: told.append(one))
    monkeypatch.setitem(sys.modules, "curl_cffi", None)
    monkeypatch.setenv("YTDLP_NO_PLUGINS", "1")

    def say(url: str, **settings):
        return child.fetched({"page": url, "folder": str(tmp_path), **asdict(OURS), **settings})

    return say


VIDEO = made_video(MadeVideo(b_frames=2, audio_s=None))
_SHOWN = '<AdaptationSet mimeType="video/mp4">{}</AdaptationSet>'
_HEARD = '<AdaptationSet mimeType="audio/mp4">{}</AdaptationSet>'
_MANIFEST = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT2S"><Period>{}</Period></MPD>'
)


def one(name: str, codec: str, more: str = "") -> str:
    return (
        f'<Representation id="{name}" codecs="{codec}" bandwidth="9000" {more}>'
        f"<BaseURL>{name}.mp4</BaseURL></Representation>"
    )


@pytest.fixture
def apart(web):
    """The address of a manifest (ISO/IEC 23009-1) whose pictures and sound are files of their own."""
    shown = [one(f"p{height}", "avc1.4d401e", f'height="{height}" width="64"') for height in (360, 480, 720)]
    sets = _SHOWN.format("".join(shown)) + _HEARD.format(one("sound", "mp4a.40.2"))
    web.put("/apart.mpd", _MANIFEST.format(sets).encode(), content_type="application/dash+xml")
    for height in (360, 480, 720):
        web.put(f"/p{height}.mp4", without("audio", VIDEO), content_type="video/mp4")
    web.put("/sound.mp4", without("video", VIDEO), content_type="audio/mp4")
    web.forget()
    return web.url("/apart.mpd")


def test_a_picture_and_its_sound_that_come_apart_make_one_video(web, apart, tmp_path):
    found = asked(apart, tmp_path / "own")
    assert (found.height_px, found.path.suffix) == (480, ".mp4")
    whole = found.path.read_bytes()
    assert counters_in(whole) == list(range(50))
    assert len(without("video", whole)) > 1000
    assert sorted(one.name for one in found.path.parent.iterdir()) == ["done.json", "whole.mp4"]
    assert "/p720.mp4" not in web.hits
    web.forget()
    assert asked(apart, tmp_path / "own") == found
    assert not web.hits


def test_where_sound_is_dropped_it_is_not_asked_for(web, apart, said):
    assert said(apart, audio=False)["files"] == ["p480.mp4"]
    assert "/sound.mp4" not in web.hits
    assert len(said(apart, height_px=360)["files"]) == 2


def test_what_came_of_both_is_gone_on_with(web, apart, said, tmp_path):
    (tmp_path / "p480.mp4").write_bytes(without("audio", VIDEO))  # whole
    (tmp_path / "sound.m4a.part").write_bytes(without("video", VIDEO)[:1000])
    told = said(apart)
    assert told["files"] == ["p480.mp4", "sound.m4a"]
    assert (tmp_path / "sound.m4a").read_bytes() == without("video", VIDEO)
    assert "/p480.mp4" not in web.hits
    assert any(one.headers.get("range") == "bytes=1000-" for one in web.log)


def test_a_sound_that_is_none_is_told_and_nothing_of_it_stays(web, apart, tmp_path):
    web.put("/sound.mp4", b"<html>not found</html>", content_type="text/html")
    refused = asked(apart, tmp_path)
    assert refused.reason is Reason.NOT_A_VIDEO
    assert "picture and sound came apart" in refused.detail
    assert not list(tmp_path.iterdir())


def test_refusals_of_a_host(web, said):
    for status, reason in ((404, Reason.HTTP_404), (403, Reason.HTTP_403), (429, Reason.HTTP_429)):
        web.put(f"/{status}", b"no", status=status)
        assert reason_of(Said(**said(web.url(f"/{status}"))["refused"])) is reason
    assert reason_of(Said(**said(page(web, "/none"))["refused"])) is Reason.NO_FORMAT
    assert said(page(web, "/two", "/v.mp4", "/w.mp4")) == {
        "reason": "no_format",
        "text": "the page shows several videos",
    }
    assert reason_of(Said(**said("http://127.0.0.1:9/v.mp4")["refused"])) is Reason.CONNECT_FAILED


def test_a_body_beyond_the_limit_is_none(web, said, tmp_path):
    assert said(web.url("/v.mp4"), max_body_bytes=1000)["reason"] == "too_large"
    assert not [one for one in tmp_path.iterdir() if one.stat().st_size > len(BODY)]


def test_what_came_before_a_kill_is_gone_on_with(web, said, tmp_path):
    web.put("/r.mp4", BODY, content_type="video/mp4")
    (tmp_path / "mp4.mp4.part").write_bytes(BODY[:1000])
    web.forget()
    told = said(web.url("/r.mp4"))
    assert (tmp_path / told["files"][0]).read_bytes() == BODY
    assert any(one.headers.get("range") == "bytes=1000-" for one in web.log)


def test_what_came_long_ago_is_not_gone_on_with(web, tmp_path):
    part = tmp_path / "mp4.mp4.part"
    part.write_bytes(b"of another file")
    os.utime(part, (1, 1))
    asked("http://a.example/", tmp_path, command=(sys.executable, "-c", ""))
    assert not part.exists()


def test_cookies_are_read_and_not_written(web, said, tmp_path):
    jar = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tname\tvalue\n"
    jar.write_text(text)
    web.forget()
    said(web.url("/404"), cookies=str(jar))
    assert web.log[-1].headers["cookie"] == "name=value"
    assert jar.read_text() == text
    jar.write_text("none")
    assert said(web.url("/404"), cookies=str(jar))["reason"] == "cookies"


def test_the_guard_stands_behind_every_connection():
    guard = child.Guard(addresses=True)
    guard("socket.connect", (None, ("93.184.216.34", 443)))
    for address in (("10.0.0.1", 80), ("169.254.169.254", 80), ("::1", 80, 0, 0), ("a.example", 80)):
        with pytest.raises(PermissionError):
            guard("socket.connect", (None, address))
    assert guard.refused == "10.0.0.1"
    guard("subprocess.Popen", ("/usr/bin/deno", [], None, None))
    with pytest.raises(FileNotFoundError):
        guard("subprocess.Popen", ("ffmpeg", [], None, None))
    with pytest.raises(PermissionError):
        guard("os.system", (b"true",))


LATE = "import time; print('{\"bytes\": 1}', flush=True); time.sleep(60)"


def test_a_child_that_hangs_or_dies_costs_its_page(tmp_path):
    late = (sys.executable, "-c", LATE)
    for settings, reason in (
        (SiteSettings(total_s=0.2), Reason.DEADLINE),
        (SiteSettings(stall_s=0.2), Reason.STALLED),
    ):
        assert asked("http://a.example/", tmp_path, settings, command=late).reason is reason
    dies = (sys.executable, "-c", "raise SystemExit('out of luck')")
    refused = asked("http://a.example/", tmp_path, command=dies)
    assert (refused.reason, "out of luck" in refused.detail) == (Reason.SITE_REFUSED, True)
    words = 'print("noise"); print(\'{"reason": "cookies", "text": "x is no file of cookies"}\')'
    with pytest.raises(UsageError, match="no file of cookies"):
        asked("http://a.example/", tmp_path, command=(sys.executable, "-c", words))


def test_a_stop_ends_the_child(tmp_path):
    async def stopped() -> float:
        stop = Event()
        asyncio.get_running_loop().call_later(0.1, stop.set)
        began = time.monotonic()
        with pytest.raises(Stopped):
            await ask(
                "http://a.example/", tmp_path, OURS, stop, join=together, command=(sys.executable, "-c", LATE)
            )
        return time.monotonic() - began

    assert asyncio.run(stopped()) < 30


def test_the_child_reads_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"page": "x"}\n'))
    monkeypatch.setattr(child, "fetched", lambda asked: {"reason": "no_format", "text": asked["page"]})
    monkeypatch.setattr("threading.Thread.start", lambda self: None)
    monkeypatch.setattr("os._exit", lambda code: None)
    child.main()
    assert json.loads(capsys.readouterr().out) == {"reason": "no_format", "text": "x"}


WORDS = {
    "Sign in to confirm you\u2019re not a bot. Use --cookies for the authentication.": Reason.BOT_CHECK,
    "Video unavailable. YouTube is requiring a captcha challenge before playback": Reason.BOT_CHECK,
    "This content isn't available, try again later. The current session has been rate-limited": Reason.HTTP_429,
    "Sign in to confirm your age. This video may be inappropriate for some users.": Reason.VIDEO_AGE,
    "Private video. Sign in if you've been granted access to this video": Reason.VIDEO_PRIVATE,
    "Video unavailable. This video is private": Reason.VIDEO_PRIVATE,
    "Join this channel to get access to members-only content like this video": Reason.VIDEO_MEMBERS,
    "This video is available to this channel's members on level: Gold": Reason.VIDEO_MEMBERS,
    "This video requires payment to watch": Reason.VIDEO_MEMBERS,
    "Video unavailable": Reason.VIDEO_GONE,
    "Video unavailable. This video has been removed by the uploader": Reason.VIDEO_GONE,
    "This video is no longer available because the YouTube account associated with this video has been "
    "terminated.": Reason.VIDEO_GONE,
    "Video unavailable. It contains content from X, who has blocked it in your country on copyright "
    "grounds": Reason.VIDEO_REGION,
    "Premieres in 3 hours": Reason.VIDEO_NOT_YET,
    "This live event will begin in 5 days.": Reason.VIDEO_NOT_YET,
    "This video is DRM protected": Reason.NO_FORMAT,
    "Login details are needed to download this content": Reason.VIDEO_LOGIN,
    "Requested format is not available. Use --list-formats for a list": Reason.NO_FORMAT,
    "Unable to download webpage: timed out": Reason.STALLED,
    "Failed to resolve 'a.example' ([Errno -2] Name or service not known)": Reason.DNS_NOT_FOUND,
    "Something that nobody has said before": Reason.SITE_REFUSED,
}


def test_words_of_sites():
    found = {words: reason_of(Said(text=f"[youtube] premium-bot: {words}")) for words in WORDS}
    assert found == WORDS


def test_kinds_and_statuses_count_before_words():
    region = Said(
        text="The uploader has not made it available", kinds=("DownloadError", "GeoRestrictedError")
    )
    assert reason_of(region) is Reason.VIDEO_REGION
    assert reason_of(Said(text="HTTP Error 404: Not SiteVideo", status=404)) is Reason.HTTP_404
    assert reason_of(Said(text="Unsupported URL: https://a.example/captcha")) is Reason.NO_FORMAT
    assert reason_of(Said(text="HTTP Error 400: Private video", status=400)) is Reason.VIDEO_PRIVATE
    assert reason_of(Said(text="HTTP Error 403: removed by", status=403, in_page=False)) is Reason.HTTP_403


def test_without_a_runtime_stills_are_no_video():
    told = {
        "text": "Requested format is not available.",
        "warnings": ["Only images are available for download. use --list-formats"],
    }
    assert reason_of(Said(**told, runtime=False)) is Reason.NO_RUNTIME
    assert reason_of(Said(**told, runtime=True)) is Reason.NO_FORMAT
    assert "JavaScript runtime" in sentence()


def test_a_site_that_shuts_is_left_alone_for_longer_each_time(tmp_path):
    now = [1_000_000.0]
    pauses = Pauses(tmp_path / "sites", lambda: now[0])
    assert pauses.left_s("a.example") == 0
    assert [pauses.shut("a.example", f"p{n}") for n in range(3)] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    now[0] += 4 * FIRST_S - 1
    assert Pauses(tmp_path / "sites", lambda: now[0]).left_s("a.example") == 1  # in another process
    assert pauses.left_s("b.example") == 0
    pauses.shut("a.example", "p0")
    assert pauses.shut("a.example", "p0") == 0  # a page over which it always shuts is given up
    for n in range(20):
        assert pauses.shut("a.example", f"q{n}") <= LONGEST_S
    pauses.gave("a.example")
    assert (pauses.left_s("a.example"), pauses.shut("a.example", "p1")) == (0, FIRST_S)
    (tmp_path / "sites" / "a.example.json").write_text('{"until_s": [1')  # cut off
    assert pauses.left_s("a.example") == 0


def test_hosts_of_one_site_are_one():
    assert {site_of(one) for one in ("www.youtube.com", "m.youtube.com", "youtu.be")} == {"youtube.com"}


@pytest.mark.parametrize(
    "wrong", [{"height_px": 0}, {"sleep_s": -1}, {"cookies": "/nowhere/cookies.txt"}, {"total_s": 0}]
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=r"must be|no file"):
        SiteSettings(**wrong)
