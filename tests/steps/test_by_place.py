"""Rows in the order in which their media lie: by archive and place, those of one medium together."""

import json
import random
from contextlib import contextmanager

import pytest
from made import foldered, indexed, tar_gzipped

from gristmill.shards.rows import rows_of
from gristmill.spec.errors import UsageError
from gristmill.spec.locator import Embedded, Frames, Member
from gristmill.steps import by_place, ordered
from gristmill.steps.rows import TakeRows
from gristmill.storage.archives import ArchiveSource


class Box:
    """A TableContext over sources; a row's medium is what its column ``video`` says."""

    only = None

    def __init__(self, folder, **sources):
        self.sources, self._folder = sources, folder
        self.rows, self.groups, self.texts, self.dropped, self.expected = [], [], [], [], None
        self.asked = 0

    def expect(self, rows, part_rows=None, last_rows=None):
        self.expected = rows

    def keep(self, table, rows, groups=None):
        self.rows += rows.to_pylist()
        self.groups += (rows if groups is None else groups).to_pylist()
        self.texts += [row["text"] for row in rows_of(table)]

    def drop(self, rows, reason, detail=""):
        self.dropped += rows.to_pylist()

    def note(self, text):
        raise AssertionError(text)

    def progress(self, done, total):
        pass

    @contextmanager
    def scratch(self):
        self._folder.mkdir()
        yield self._folder

    def first_media(self, table):
        return [self._medium(row.get("video")) for row in rows_of(table)]

    def _medium(self, video):
        kinds = {"f": lambda: Frames("frames", video), "p": lambda: Member("pictures", f"{video}.jpg")}
        return kinds.get(video[0], lambda: Embedded(video))() if video else None

    def source(self, key):
        self.asked += 1
        return self.sources[key]


def source_of(folder, *archives):
    folder.mkdir()
    made = [
        tar_gzipped(folder / f"{n}.tar.gz", {name: b"x" for name in names})
        for n, names in enumerate(archives)
    ]
    return ArchiveSource([indexed(place)[1] for place in made])


def written(path, videos):
    lines = [json.dumps({"video": video, "text": f"{n} {video}"}) for n, video in enumerate(videos)]
    path.write_text("\n".join(["{broken", *lines]) + "\n")
    return path


@pytest.mark.parametrize("small", [False, True])
def test_rows_come_in_the_order_in_which_their_media_lie(small, tmp_path, monkeypatch):
    if small:  # everything in many portions, on disk
        monkeypatch.setattr(by_place, "_LOOKED_UP", 7)
        monkeypatch.setattr(ordered, "IN_MEMORY_BYTES", 1 << 10)
    rng = random.Random(0)
    names = [f"f{n}" for n in range(60)]
    rng.shuffle(names)
    frames = source_of(
        tmp_path / "s", *([f"./{name}/1.jpg" for name in names[a : a + 20]] for a in (0, 20, 40))
    )
    videos = [*rng.choices(names, k=300), None, "gone", "f-gone", None, "f-gone", "gone"]
    box = Box(tmp_path / "scratch", frames=frames)
    TakeRows(by_place=True).apply(written(tmp_path / "rows.jsonl", videos), box)

    def key(row):
        video = videos[row - 1]
        if video in names:
            return (names.index(video), 0, row)
        first = videos.index(video) + 1 if video else row
        return (len(names), first, row)

    wanted = sorted(range(1, len(videos) + 1), key=key)
    assert box.rows == wanted
    assert box.texts == [f"{row - 1} {videos[row - 1]}" for row in wanted]
    assert box.groups == [videos.index(videos[row - 1]) + 1 if videos[row - 1] else row for row in wanted]
    assert (box.dropped, box.expected) == ([0], len(videos))


def test_sources_of_several_kinds_and_folders(tmp_path):
    frames = source_of(tmp_path / "f", ["./f2/1.jpg", "./f1/1.jpg"])
    pictures = ArchiveSource(
        [indexed(foldered(tmp_path / "p", {"p1.jpg": b"x"}), at=tmp_path / "p.parquet")[1]]
    )
    box = Box(tmp_path / "scratch", frames=frames, pictures=pictures)
    rows = written(tmp_path / "rows.jsonl", ["data", "f1", "f2", "p1", "f1"])
    TakeRows(by_place=True).apply(rows, box)
    assert [text.split()[1] for text in box.texts] == ["p1", "f2", "f1", "f1", "data"]


def test_a_small_run_takes_the_first_rows_and_looks_up_nothing(tmp_path):
    box = Box(tmp_path / "scratch")
    box.only = 2
    TakeRows(by_place=True).apply(written(tmp_path / "rows.jsonl", ["f2", "f1", "f3"]), box)
    assert (box.rows, box.asked) == ([1, 2], 0)


def test_an_empty_list_has_no_order(tmp_path):
    box = Box(tmp_path / "scratch")
    (tmp_path / "rows.jsonl").write_text("")
    TakeRows(by_place=True).apply(tmp_path / "rows.jsonl", box)
    assert box.rows == []


def test_two_ways_to_bring_rows_together_are_one_too_many():
    with pytest.raises(UsageError, match="do not go together"):
        TakeRows(by_place=True, unique="video")
