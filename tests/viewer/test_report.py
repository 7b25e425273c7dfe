from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from made_dataset import Made, make_dataset, photographs, write_manifest, write_report

from gristmill.ledger.fates import fates_table, write_fates
from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.totals import total
from gristmill.media.image import decodes
from gristmill.media.settings import ImageSettings
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.errors import MachineError, UsageError
from gristmill.spec.fate import Fate
from gristmill.spec.reasons import Reason
from gristmill.spec.task import ShardInfo
from gristmill.storage.files import whole_file
from gristmill.storage.store import store_at
from gristmill.viewer import measures as measures_module
from gristmill.viewer.charts import funnel_rows
from gristmill.viewer.lost import examples_of_loss, link_to, visible
from gristmill.viewer.samples import ShownPicture, examples

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, addresses and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data


def page_of(made: Made) -> Page:
    return Page(write_report(made.folder).read_text())


@pytest.fixture(scope="module")
def page(made: Made) -> Page:
    write_manifest(made.folder, made.recipe, made.config, made.ledger)
    return page_of(made)


def test_page_asks_for_nothing_and_runs_nothing(page: Page, made: Made) -> None:
    assert page.addresses
    links = [address for address in page.addresses if not address.startswith("data:image/jpeg;base64,")]
    assert links
    assert all(re.match(r"https://pictures-\d+\.example\.org/", address) for address in links)
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    text = (made.folder / "report.html").read_text()
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text


def test_captions_and_notes_are_text_not_markup(page: Page) -> None:
    assert '<script>alert("x")</script> & a very long caption' in page.text
    assert "a note <b>of the run</b>" in page.text
    assert re.search(r"many words[a-z ]* …", page.text)
    assert "many words " * 15 not in page.text


def test_page_says_the_same_numbers_as_the_records(page: Page, made: Made) -> None:
    levels = funnel(total(made.ledger.records.values()), made.config)
    words = " ".join(page.text.split())
    for level in levels.levels:
        assert re.search(rf"{level.count:,} ?{re.escape(level.title)}", words)
    for reason, n in levels.dropped(after_selection=True).items():
        assert re.search(rf"\b{reason} .*? {n:,}\b", words), reason
    assert f"{levels.count('kept'):,} of {levels.count('asked'):,}" in words
    assert "gristmill retry made-up --reason dns_failed" in words
    assert made.recipe.title in words
    assert "0123456789abcdef0123456789abcdef01234567" in words
    assert "complete" in words
    assert "not complete yet" not in words
    assert "object store" not in words


def test_the_longest_list_of_losses_comes_last(page: Page) -> None:
    headings = ("May come back", "Perhaps our own fault", "Left out by the rules", "Gone for good")
    found = [page.text.index(heading) for heading in headings]
    assert found == sorted(found)


def test_page_is_the_same_again(page: Page, made: Made) -> None:
    first = (made.folder / "report.html").read_bytes()
    assert write_report(made.folder).read_bytes() == first


def test_pictures_are_spread_small_and_whole(page: Page, made: Made) -> None:
    shards = shards_of(made.ledger)
    shown = examples(store_at(made.folder), shards, 24)
    assert (shown.trouble, shown.talks) == ([], [])
    assert len({p.key for p in shown.pictures}) == 24 == page.tags.count("img")
    assert {p.key[5] for p in shown.pictures} == {"0", "1"}  # both annotation files
    for picture in (picture for example in shown.pictures for picture in example.pictures):
        assert len(picture.source) < 40_000
        assert max(picture.width_px, picture.height_px) <= 300
    assert len(examples(store_at(made.folder), shards, 2).pictures) == 2
    assert (made.folder / "report.html").stat().st_size < 1_500_000


def test_funnel_is_drawn_to_scale(made: Made) -> None:
    levels = funnel(total(made.ledger.records.values()), made.config)
    rows = funnel_rows(levels)
    assert rows[0].width_percent == 100
    assert rows[1].enlarged == pytest.approx(5)
    for row, level in zip(rows, levels.levels, strict=True):
        assert sum(piece.percent for piece in row.segments) == pytest.approx(100)
        assert row.width_percent == pytest.approx(
            100 * level.count / (levels.count("annotated") if level.name == "annotated" else 240)
        )


def test_shards_that_are_damaged_or_gone_are_said(tmp_path: Path) -> None:
    made = make_dataset(tmp_path)
    (made.folder / "shards/00000.tar").unlink()
    body = (made.folder / "shards/00001.tar").read_bytes()
    (made.folder / "shards/00001.tar").write_bytes(body[:700])
    page = page_of(made)
    assert "shards/00000.tar is not there" in page.text
    assert "cut off" in page.text
    assert page.tags.count("img") == 8


def test_stored_bytes_that_do_not_decode_are_left_out(tmp_path: Path) -> None:
    made = make_dataset(tmp_path, shards=1)
    path = made.folder / "shards/00000.tar"
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff", b"\x00\x00\x00"))
    shown = examples(store_at(made.folder), shards_of(made.ledger), 4)
    assert (shown.pictures, shown.talks, shown.trouble) == ([], [], [])


def test_unfinished_and_empty_folders_have_a_page(tmp_path: Path) -> None:
    made = make_dataset(tmp_path, rows_per_file=100, packed=False)
    page = page_of(made)
    assert "not complete yet" in page.text
    assert "wait" in page.text
    shutil.rmtree(made.folder / ".gristmill/records")
    shutil.rmtree(made.folder / "fates")
    assert "0 of 2 annotation files" in page_of(made).text
    with pytest.raises(UsageError):
        write_report(tmp_path / "nothing")


def test_of_very_many_fates_some_are_read_and_that_is_said(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.folder, tmp_path / "copy")
    monkeypatch.setattr(measures_module, "FILES_READ", 1)
    copy = Made(
        folder=tmp_path / "copy", recipe=made.recipe, config=made.config, ledger=Ledger(tmp_path / "copy")
    )
    assert "From 1 of 2 fates files" in page_of(copy).text


def test_thumbnails_decode(made: Made) -> None:
    for example in examples(store_at(made.folder), shards_of(made.ledger), 3).pictures:
        for picture in example.pictures:
            decodes(base64.b64decode(picture.source.partition(",")[2]))
        assert orjson.loads(orjson.dumps(example.caption)) == example.caption


def shard_of(folder: Path, *samples: dict[str, bytes]) -> ShardInfo:
    with (folder / "a.tar").open("wb") as stream:
        tar = TarWriter(stream)
        for n, parts in enumerate(samples):
            for part, body in parts.items():
                tar.add(f"{n:03d}.{part}", body)
        tar.close()
    return ShardInfo(path="a.tar", role="shard", samples=len(samples), size_bytes=1, digest="0" * 64)


def test_conversations_and_documents_are_shown_whole_and_in_order(tmp_path: Path) -> None:
    photo = photographs()[0].body
    asked = [
        {"role": "user", "parts": [{"text": "Why?"}]},
        {"role": "assistant", "parts": [{"text": "<b>42"}]},
    ]
    pieces = [
        {"text": "One."},
        {"media": "000.jpg"},
        {"text": "Two."},
        {"media": "001.jpg"},
        {"text": "x" * 900},
    ]
    document = [{"role": "document", "parts": pieces}]
    shard = shard_of(
        tmp_path,
        {"json": orjson.dumps({"turns": asked})},
        {"000.jpg": photo, "001.jpg": photo, "json": orjson.dumps({"turns": document})},
        {"json": b"no JSON"},
        {"json": orjson.dumps({"turns": [{"role": "user", "parts": "odd"}]})},
        {"json": orjson.dumps({"turns": [{"role": "user", "parts": [{"text": "more"}] * 70}]})},
    )
    shown = examples(store_at(tmp_path), [shard], 5)
    talk, page, long = shown.talks
    assert [(turn.role, turn.pieces) for turn in talk.turns] == [
        ("user", ("Why?",)),
        ("assistant", ("<b>42",)),
    ]
    assert [type(piece) is ShownPicture for piece in page.turns[0].pieces] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert (page.turns[0].pieces[0], page.turns[0].pieces[2]) == ("One.", "Two.")
    assert (len(long.turns[0].pieces), long.more) == (60, 10)
    assert shown.lengths.total == 5
    assert shown.pictures == []


def test_what_was_lost_is_shown_and_hostile_addresses_are_never_links(tmp_path: Path) -> None:
    hostile = [
        "javascript:alert(1)",
        "JaVaScRiPt://a.test/%0aalert(1)",
        "data:text/html,<script>",
        "file:///x",
    ]
    fates = [
        Fate(row=n, key="k", medium="jpg", url=url, reason=Reason.BAD_SCHEME) for n, url in enumerate(hostile)
    ]
    came = {"status": 200, "detail": "html\u202e", "raw_bytes": 1200, "original_mime": "text/html"}
    fates += [
        Fate(row=n, key="k", medium="jpg", url="http://a.test/", reason=Reason.NOT_AN_IMAGE, **came)
        for n in range(10, 15)
    ]
    fates.append(Fate(row=20, key="k", medium="jpg", url="http://a.test/kept"))
    with whole_file(tmp_path / "0.parquet") as stream:
        write_fates(stream, [fates_table(fates, source="s", file="list.csv")])
    found = examples_of_loss([[tmp_path / "0.parquet"]])
    assert [lost.reason for lost in found] == ["bad_scheme"] * 3 + ["not_an_image"] * 3
    assert [lost.link for lost in found] == [""] * 3 + ["http://a.test/"] * 3
    assert (found[3].came, found[3].place) == ("HTTP 200, text/html, 1.20 kB", "list.csv, row 10")
    assert found[3].detail == "html\\u202e"
    odd = [*hostile, "http://[", "http://a\u202e.test/", "http://u:p@a.test/", "", "//a.test/", "http:///"]
    assert [link_to(url) for url in odd] == [""] * len(odd)
    assert link_to("https://a.test/x?y=1") == "https://a.test/x?y=1"
    assert visible("a\nb\x1b[2J\ud800") == "a\\nb\\x1b[2J\\ud800"


def test_a_hostile_address_is_text_on_the_page(tmp_path: Path) -> None:
    made = make_dataset(tmp_path)
    record = next(r for r in made.ledger.stage("samples") if r.outputs)
    path = made.folder / next(o.path for o in record.outputs if o.role == "fates")
    evil, quoted = 'https://a.test/" onmouseover="x', "https://a.test/'\"><script>"
    fates = [
        Fate(row=0, key="k", medium="jpg", url="javascript:alert(1)", reason=Reason.BAD_SCHEME),
        Fate(row=1, key="k", medium="jpg", url=evil, reason=Reason.BAD_URL, detail="<img src=x onerror=y>"),
        Fate(row=2, key="k", medium="jpg", url=quoted, reason=Reason.HTTP_451, status=451),
    ]
    with whole_file(path) as stream:
        write_fates(stream, [fates_table(fates, source="s", file="f")])
    page = page_of(made)  # it checks the attributes of all tags
    for said in ("javascript:alert(1)", evil, quoted, "<img src=x onerror=y>"):
        assert said in page.text
    assert not any(address.lower().startswith("javascript") for address in page.addresses)
    assert quoted in page.addresses
    assert "script" not in page.tags


def test_the_report_needs_no_opencv() -> None:
    code = "import sys, gristmill.viewer.report; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"cv2", "simplejpeg", "PIL"} & set(said.split())


def test_small_pictures_are_made_in_decoders_within_their_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoDecoder:
        def __init__(self, settings: ImageSettings, *, processes: int) -> None:
            assert (settings.size_px, settings.resize_mode, processes) == (300, "keep_ratio_largest", 1)

        async def transcode(self, body: bytes) -> None:
            raise MachineError("No codec process could be started: none here")

        async def close(self) -> None:
            pass

    monkeypatch.setattr("gristmill.viewer.samples.CodecPool", NoDecoder)
    shard = shard_of(tmp_path, {"jpg": photographs()[0].body, "txt": b"A photograph.", "json": b"{}"})
    shown = examples(store_at(tmp_path), [shard], 1)
    assert (shown.pictures, shown.trouble) == ([], ["No codec process could be started: none here"])
