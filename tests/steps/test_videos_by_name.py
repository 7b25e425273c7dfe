"""Videos by their names: in folders and archives first of all, then, where that is allowed, from a site."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from crawl_box import Box
from made import foldered, indexed, tar_gzipped, tarred, zipped

from gristmill.crawl.sites.ask import SiteRefusal, SiteVideo
from gristmill.crawl.sites.settings import SiteSettings
from gristmill.spec.body import FileBody, bytes_of
from gristmill.spec.cut import Cut
from gristmill.spec.errors import SiteShut, Stopped
from gristmill.spec.locator import Member, Video
from gristmill.spec.media_source import MemberLayout
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import MediaRef, Origin, Sample
from gristmill.steps.acquirers import video
from gristmill.steps.video_names import with_published
from gristmill.storage.archives import ArchiveSource
from gristmill.storage.archives.catalog import write_catalog

ANY = MemberLayout(name="any", member=r"(?:.*/)?([^/]+\.(?:mp4|mkv|webm|avi|mov))", path=r"\1")
BODIES = {
    "training/101/plain.mp4": b"1",
    "training/101/-dash.webm": b"2",
    "_under.MKV": b"3",
    "v_prefixed.avi": b"4",
    "bare.mov": b"5",
    "both.mkv": b"6",
    "both.mp4": b"7",
    "clip_0.mp4": b"8",
    "empty.mp4": b"",
    "notes.txt": b"9",
}
WANTED = ["plain", "-dash", "_under", "prefixed", "v_bare", "both", "Plain", "notes", "missing", "empty"]
GIVEN = [b"1", b"2", b"3", b"4", b"5", b"7", b"1", Reason.NO_FILE, Reason.NO_FILE, Reason.EMPTY]


@pytest.fixture
def box(tmp_path):
    made = Box({})
    made.shared, made.kept = tmp_path / "shared", tmp_path / "kept"
    made.sources["videos"] = ArchiveSource([])
    yield made
    if made.folder is not None:
        made.folder.cleanup()


def source_of(tmp_path: Path, path: Path, *, stems: bool = False) -> ArchiveSource:
    archives = [indexed(path)[1]]
    write_catalog("videos", archives, [ANY], tmp_path / "catalog", stems=stems)
    return ArchiveSource(archives, tmp_path / "catalog")


def step(sites: SiteSettings | None, *, keep: bool = False) -> SimpleNamespace:
    return SimpleNamespace(sites=sites, max_body_bytes=1000, codecs=1, keep_sources=keep)


def taken(box: Box, places: list[Video], sites: SiteSettings | None = None, keep: bool = False):
    """What comes of each, as bytes or reason, and the fates' details."""
    found: dict[int, object] = {}
    details: dict[int, str] = {}

    async def deliver(number, acquired):
        assert number not in found
        found[number] = acquired.reason if acquired.body is None else bytes_of(acquired.body)
        details[number] = str(acquired.told.get("detail", "")) or acquired.detail
        return ()

    async def take():
        made = await video.acquirer(step(sites, keep=keep))
        try:
            await made.acquire(list(enumerate(places)), deliver, box)
        finally:
            await made.close()

    asyncio.run(take())
    return [found[number] for number in sorted(found)], details


@pytest.mark.parametrize("stems", [False, True])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_names_are_found_in_any_container_and_any_archive(tmp_path, box, kind, stems):
    make = {"folder": foldered, "zip": zipped, "tar": tarred, "tar.gz": tar_gzipped}[kind]
    box.sources["videos"] = source_of(tmp_path, make(tmp_path / f"videos.{kind}", BODIES), stems=stems)
    found, details = taken(box, [Video("videos", name) for name in WANTED])
    assert found == GIVEN
    assert details[5] == "both.mp4 was taken; there is both.mkv as well"
    assert details[8] == "missing is not in videos"
    places = video.places(box.sources["videos"], [Video("videos", name) for name in WANTED])
    assert [place is None for place in places] == [one is Reason.NO_FILE for one in GIVEN]


def sample(row: int, *refs: MediaRef) -> Sample:
    media = {f"{n:03d}": ref for n, ref in enumerate(refs)}
    return Sample(key=f"k{row}", media=media, origin=Origin(source="rows", file="a.jsonl", row=row))


def test_published_clips_are_taken_in_place_of_pieces(tmp_path, box):
    box.sources["videos"] = source_of(tmp_path, foldered(tmp_path / "tree", BODIES))
    cut, at = Cut(start_s=0.0, end_s=1.0), Video("videos", "clip")
    there = MediaRef(kind="video", at=at, cut=cut, name="clip_0.mp4")
    none = MediaRef(kind="video", at=at, cut=cut, name="clip_1.mp4")
    whole = MediaRef(kind="video", at=at, name="clip_0.mp4")
    first, second = with_published([sample(0, there, none), sample(1, whole)], box)
    assert first.media["000"] == MediaRef(kind="video", at=Member("videos", "clip_0.mp4"), name="clip_0.mp4")
    assert first.media["001"] == none
    assert first.columns["changes"] == ["published_clip"]
    assert second == sample(1, whole)


class Site:
    """Stands in for the child process; says in turn what it is told to."""

    def __init__(self, monkeypatch, *says) -> None:
        self.says, self.pages = list(says), []
        monkeypatch.setattr(video, "ask", self)

    async def __call__(self, page, folder, settings, stop, *, join):
        self.pages.append(page)
        said = self.says.pop(0) if self.says else b"v"
        if isinstance(said, SiteRefusal):
            return said
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "18.mp4"
        path.write_bytes(said)
        return SiteVideo(path=path, format="18", height_px=360)


SITES = SiteSettings(sleep_s=0)
BOT = SiteRefusal(reason=Reason.BOT_CHECK, detail="not a bot?")
GONE = SiteRefusal(reason=Reason.VIDEO_GONE, detail="gone")
NO_RUNTIME = SiteRefusal(reason=Reason.NO_RUNTIME, detail="only stills")


def on_site(*names: str) -> list[Video]:
    return [Video("videos", name, f"https://www.video.example/{name}") for name in names]


def test_a_site_is_asked_for_what_is_not_there_and_only_where_that_is_allowed(tmp_path, box, monkeypatch):
    box.sources["videos"] = source_of(tmp_path, foldered(tmp_path / "tree", BODIES))
    site = Site(monkeypatch, b"from the site", GONE)
    places = [
        *on_site("plain", "far", "gone"),
        Video("videos", "pageless"),
        Video("videos", "in", "http://10.0.0.1/"),
    ]
    missing = Reason.NO_FILE
    assert taken(box, places)[0] == [b"1", missing, missing, missing, missing]
    assert site.pages == []
    found, details = taken(box, places, SITES)
    assert found == [b"1", b"from the site", Reason.VIDEO_GONE, missing, Reason.PRIVATE_ADDRESS]
    assert site.pages == ["https://www.video.example/far", "https://www.video.example/gone"]
    assert details[1] == "format 18, 360 lines"
    assert not [
        one for one in (box.shared / "sites").iterdir() if one.is_dir()
    ]  # nothing is left on the disk


def test_what_sites_gave_stays_where_that_is_asked_for(box, monkeypatch):
    site = Site(monkeypatch, b"1", b"2")
    places = on_site("a", "../b")
    assert taken(box, places, SITES, keep=True)[0] == [b"1", b"2"]
    assert sorted(path.name for path in (box.kept / "videos").iterdir()) == ["..%2Fb.mp4", "a.mp4"]
    assert taken(box, places)[0] == [b"1", b"2"]  # and nobody is asked, nor need be allowed to be
    assert len(site.pages) == 2
    assert (box.kept / "videos" / "a.mp4").is_file()


def test_a_bot_check_costs_no_video_and_shuts_the_site_for_later_commands(box, monkeypatch):
    site = Site(monkeypatch, b"1", BOT)
    with pytest.raises(SiteShut, match=r"video\.example is left alone until .*\nNo video is lost") as shut:
        taken(box, on_site("a", "b", "c"), SITES)
    assert (shut.value.exit_code, len(site.pages)) == (3, 2)
    with pytest.raises(SiteShut):
        taken(box, on_site("d"), SITES)  # another process, some time later
    assert len(site.pages) == 2


def test_a_video_whose_clips_are_not_done_stays_and_those_before_a_shut_site_are_done(box, monkeypatch):
    async def take(*names, shut: bool) -> list[int]:
        made = await video.acquirer(step(SITES))
        done: list[int] = []

        async def deliver(number, acquired):
            if not shut:
                box.stop.set()
            await asyncio.sleep(0.3 if shut else 5)
            done.append(number)
            return ()

        with pytest.raises(SiteShut if shut else Stopped):
            await made.acquire(list(enumerate(on_site(*names))), deliver, box)
        await made.close()
        return done

    Site(monkeypatch, b"1")
    assert asyncio.run(take("a", "b", "no room", shut=False)) == []
    assert sorted(path.read_bytes() for path in box.shared.rglob("18.mp4")) == [b"1", b"v"]
    box.stop.clear()
    Site(monkeypatch, b"2", BOT)
    assert asyncio.run(take("c", "d", shut=True)) == [0]


def test_a_page_over_which_a_site_always_shuts_is_given_up(box, monkeypatch):
    Site(monkeypatch, BOT, BOT, BOT, b"1")
    monkeypatch.setattr("gristmill.crawl.sites.pauses.FIRST_S", 0.000001)
    for _ in range(2):
        with pytest.raises(SiteShut):
            taken(box, on_site("a"), SITES)
    assert taken(box, on_site("a", "b"), SITES)[0] == [Reason.BOT_CHECK, b"1"]


def test_a_machine_without_a_runtime_does_not_burn_all_ids(box, monkeypatch):
    site = Site(monkeypatch, *[NO_RUNTIME] * 9)
    with pytest.raises(SiteShut, match="gives no video to this machine"):
        taken(box, on_site(*"abcdefg"), SITES)
    assert len(site.pages) == 3


def test_few_videos_of_sites_lie_on_the_disk_at_once(box, monkeypatch):
    Site(monkeypatch)
    most = 0

    async def take():
        nonlocal most
        made = await video.acquirer(step(SITES))

        async def deliver(number, acquired):
            nonlocal most
            assert isinstance(acquired.body, FileBody)
            most = max(most, sum(one.is_dir() for one in (box.shared / "sites").iterdir()))
            await asyncio.sleep(0.01)
            return ()

        await made.acquire(list(enumerate(on_site(*"abcdef"))), deliver, box)
        await made.close()

    asyncio.run(take())
    assert most == 2


def test_a_stop_is_heeded_while_a_page_waits(box, monkeypatch):
    Site(monkeypatch)
    box.stop.set()
    with pytest.raises(Stopped):
        taken(box, on_site("a", "b"), SITES)


def test_a_video_of_a_site_stays_where_its_clips_are_not_done(box, monkeypatch):
    Site(monkeypatch)

    async def take():
        step = SimpleNamespace(sites=SITES, max_body_bytes=1000, codecs=1, keep_sources=False)
        made = await video.acquirer(step)

        async def deliver(number, acquired):
            raise Stopped("in the middle of cutting")

        try:
            await made.acquire(list(enumerate(on_site("a"))), deliver, box)
        finally:
            await made.close()

    with pytest.raises(Stopped):
        asyncio.run(take())
    assert len(list((box.shared / "sites").glob("*/*.mp4"))) == 1
