from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest
from made_dataset import Made, make_dataset

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of, write_manifest
from gristmill.ledger.totals import total
from gristmill.media.image import decodes
from gristmill.spec.errors import UsageError
from gristmill.viewer import measures as measures_module
from gristmill.viewer.charts import funnel_rows
from gristmill.viewer.pictures import thumbnails
from gristmill.viewer.report import write_report

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
    write_manifest(made.folder, made.recipe, made.begun, made.ledger)
    return page_of(made)


def test_page_asks_for_nothing_and_runs_nothing(page: Page, made: Made) -> None:
    assert page.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
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
    levels = funnel(total(made.ledger.records.values()), made.begun)
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


def test_the_longest_list_of_losses_comes_last(page: Page) -> None:
    headings = ("May come back", "Perhaps our own fault", "Left out by the rules", "Gone for good")
    found = [page.text.index(heading) for heading in headings]
    assert found == sorted(found)


def test_page_is_the_same_again(page: Page, made: Made) -> None:
    first = (made.folder / "report.html").read_bytes()
    assert write_report(made.folder).read_bytes() == first


def test_pictures_are_spread_small_and_whole(page: Page, made: Made) -> None:
    shards = shards_of(made.ledger)
    pictures, trouble = thumbnails(made.folder, shards, 24)
    assert trouble == []
    assert len(pictures) == len({p.key for p in pictures}) == 24 == page.tags.count("img")
    assert {p.key[5] for p in pictures} == {"0", "1"}  # both annotation files
    for picture in pictures:
        assert len(picture.source) < 40_000
        assert max(picture.width_px, picture.height_px) <= 300
    assert len(thumbnails(made.folder, shards, 2)[0]) == 2
    assert (made.folder / "report.html").stat().st_size < 1_500_000


def test_funnel_is_drawn_to_scale(made: Made) -> None:
    levels = funnel(total(made.ledger.records.values()), made.begun)
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
    assert thumbnails(made.folder, shards_of(made.ledger), 4) == ([], [])


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
        folder=tmp_path / "copy", recipe=made.recipe, begun=made.begun, ledger=Ledger(tmp_path / "copy")
    )
    assert "From 1 of 2 fates files" in page_of(copy).text


def test_thumbnails_decode(made: Made) -> None:
    import base64

    for picture in thumbnails(made.folder, shards_of(made.ledger), 3)[0]:
        decodes(base64.b64decode(picture.source.partition(",")[2]))
        assert orjson.loads(orjson.dumps(picture.caption)) == picture.caption
