"""Rows of a list as they come, each with a fate."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from gristmill.shards.rows import rows_of
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.reasons import Reason
from gristmill.steps import rows, spill
from gristmill.steps.rows import TakeRows


class Box:
    """A TableContext that remembers."""

    def __init__(self, only: int | None = None) -> None:
        self.only, self.stop = only, Event()
        self.kept: list[tuple[int, dict]] = []
        self.dropped: dict[int, Reason] = {}
        self.notes: list[str] = []
        self.drops = 0
        self.expected: tuple[int, int, int] | None = None

    def expect(self, rows: int, part_rows: int, last_rows: int) -> None:
        self.expected = rows, part_rows, last_rows

    def keep(self, table: pa.Table, rows: pa.Array, groups: pa.Array | None = None) -> None:
        assert table.num_rows == len(rows)
        self.kept += zip(rows.to_pylist(), rows_of(table), strict=True)

    def drop(self, rows: pa.Array, reason: Reason, detail: str = "") -> None:
        self.drops += 1
        for row in rows.to_pylist():
            assert row not in self.dropped
            self.dropped[row] = reason

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: int, total: int | None) -> None:
        pass

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            yield Path(folder)
            assert not list(Path(folder).iterdir())


def take(path, only=None, **settings) -> Box:
    box = Box(only)
    TakeRows(**settings).apply(path, box)
    return box


def test_lines_that_cannot_be_read_are_counted_and_the_others_kept(tmp_path):
    path = tmp_path / "list.jsonl"
    lines = [b'{"url": "a"}', b"{not json", b'{"url": "c", "text": "\xff"}', b'{"url": "d"}']
    path.write_bytes(b"\n".join(lines) + b"\n")
    box = take(path, columns=("url",))
    kept = {row: values["url"] for row, values in box.kept}
    assert kept[0] == "a"
    assert kept[3] == "d"
    assert box.dropped[1] == Reason.BAD_ROW
    assert sorted([*kept, *box.dropped]) == [0, 1, 2, 3]


@pytest.mark.parametrize("only", [0, 1, 7, 9, 50])
def test_only_so_many_and_a_fate_for_the_rest(tmp_path, only):
    pq.write_table(pa.table({"url": [f"u{n}" for n in range(9)]}), tmp_path / "a.parquet")
    box = take(tmp_path / "a.parquet", only)
    assert [row for row, _ in box.kept] == list(range(min(only, 9)))
    assert box.dropped == dict.fromkeys(range(min(only, 9), 9), Reason.NOT_CHOSEN)


def test_a_missing_column_is_said_before_anything_is_taken(tmp_path):
    (tmp_path / "a.csv").write_text("link,text\nu,t\n")
    with pytest.raises(UsageError, match=r"no column 'url'; it has link, text.*--url-column"):
        take(tmp_path / "a.csv", columns=("url", "text"))


@pytest.mark.parametrize("name", ["__row", "__gristmill_far", "__json_row__", "__line_offset", "__position"])
def test_a_column_named_as_what_is_added_to_rows_is_refused(tmp_path, name):
    pq.write_table(pa.table({"url": ["u"], name: [1]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(f"url,{name}\nu,1\n")
    for file in ("a.parquet", "a.csv"):
        with pytest.raises(SourceError, match=rf"a\.\w+: no column may be called {name}: .*Rename it"):
            take(tmp_path / file)
    pq.write_table(pa.table({"url": ["u"], "__index_level_0__": [1]}), tmp_path / "a.parquet")
    assert take(tmp_path / "a.parquet").kept == [(0, {"url": "u", "__index_level_0__": 1})]


@pytest.mark.parametrize("settings", [{"parts": 0}, {"part_rows": 0}, {"format": "xlsx"}])
def test_settings_that_cannot_work_are_refused(settings):
    with pytest.raises(UsageError, match=r"rows|csv"):
        TakeRows(**settings)


def test_the_column_whose_repeats_count_must_be_there(tmp_path):
    (tmp_path / "a.csv").write_text("url\nu\n")
    with pytest.raises(UsageError, match="no column 'link'"):
        take(tmp_path / "a.csv", unique="link")


@pytest.mark.parametrize(("rows", "size"), [(900, 500), (4_000, 500), (10_000, 1250)])
def test_a_list_is_cut_finely_but_not_into_crumbs(tmp_path, rows, size):
    table = pa.table({"url": [f"u{n}" for n in range(rows)]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert take(tmp_path / "a.parquet", parts=8).expected == (rows, size, 50)
    assert take(tmp_path / "a.parquet", 700, parts=8).expected == (700, 500, 50)
    csv.write_csv(table, tmp_path / "a.csv")
    assert take(tmp_path / "a.csv", parts=8).expected is None
    assert take(tmp_path / "a.csv", parts=8, unique="url").expected == (rows, size, 50)


def test_repeats_join_the_first_of_them_also_where_digests_go_to_disk(tmp_path, monkeypatch):
    rng = random.Random(4)
    urls = [rng.choice([f"u{rng.randrange(3000)}", f"u{n}", None]) for n in range(12_000)]
    pq.write_table(pa.table({"url": urls}), tmp_path / "a.parquet")
    in_memory = take(tmp_path / "a.parquet", unique="url").kept
    first: dict[object, int] = {}
    wanted = sorted(range(len(urls)), key=lambda n: (first.setdefault(urls[n] or n, n), n))
    assert [row for row, _ in in_memory] == wanted
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 20_000)
    assert take(tmp_path / "a.parquet", unique="url").kept == in_memory


def test_bad_rows_beyond_the_first_share_their_words_and_foreign_ones_are_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "_MOST_DETAILS", 2)
    (tmp_path / "a.csv").write_bytes("url,cap\nu,é\n".encode() + b"u,\xff\nu\n" * 5000)
    box = take(tmp_path / "a.csv")
    assert box.dropped == dict.fromkeys(range(1, 10_001), Reason.BAD_ROW)
    assert box.notes == [
        "5,000 lines are not UTF-8; a file in another encoding is read with --encoding cp1252, say"
    ]
    assert box.drops < 5000


@pytest.mark.parametrize("name", ["l.parquet", "l.jsonl", "l.csv"])
def test_columns_that_are_not_to_be_carried_are_in_no_row(tmp_path, name):
    rows = [{"url": f"u{n % 2}", "image": "x" * 50, "id": 2**70 + n} for n in range(3)]
    path = tmp_path / name
    if name == "l.parquet":
        pq.write_table(pa.table({key: [str(row[key]) for row in rows] for key in rows[0]}), path)
    elif name == "l.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text("".join(f"{a},{b},{c}\n" for a, b, c in [rows[0], *(row.values() for row in rows)]))
    box = take(path, unique="url", columns=("url",), drop_columns=("image",))
    found = [row for _, row in box.kept]
    assert [str(row["id"]) for row in found] == [str(2**70), str(2**70 + 2), str(2**70 + 1)]
    assert {tuple(sorted(row)) for row in found} == {("id", "url")}


def test_a_column_that_is_needed_cannot_be_left_out(tmp_path):
    with pytest.raises(UsageError, match="url is needed"):
        TakeRows(unique="url", drop_columns=("url",))
    pq.write_table(pa.table({"url": ["u"]}), tmp_path / "l.parquet")
    with pytest.raises(UsageError, match="no column 'img'; it has url"):
        take(tmp_path / "l.parquet", unique="url", drop_columns=("img",))


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "parquet"])
def test_rows_of_other_splits_and_languages_are_left_out(tmp_path, ending):
    listed = [
        {"split": split, "lang": lang, "n": str(n)}
        for n, (split, lang) in enumerate(
            [("train", "en"), ("val", "en"), ("train", "de"), (None, "en"), ("mini", "fr"), ("train", "en")]
        )
    ]
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(listed), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if v}) + "\n" for row in listed))
    else:
        listed[3]["split"] = "train"
        lines = ["split\tlang\tn", *("\t".join(row.values()) for row in listed)]
        path.write_text("\n".join(lines))
    box = take(path, where=("split=train|mini", "lang=en", "nothing=1"))
    assert [row for row, _ in box.kept] == [0, 3, 5]
    assert box.dropped == dict.fromkeys([1, 2, 4], Reason.LEFT_OUT)
    assert len(take(path, where=("split=train|mini", "lang=en"), only=2).kept) == 2


@pytest.mark.parametrize("fields", [{"where": ("split",)}, {"where": ("a=b",), "unique": "a"}])
def test_conditions_that_cannot_be(fields):
    with pytest.raises(UsageError, match=r"where"):
        TakeRows(**fields)


@pytest.mark.parametrize(
    ("given", "said"),
    [("(a", "unterminated"), ("a", "one group"), ("(a)(b)", "one group")],
)
def test_a_part_of_a_value_is_one_group(given, said):
    with pytest.raises(UsageError, match=said):
        TakeRows(unique="url", unique_part=given)
