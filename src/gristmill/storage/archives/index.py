"""The index of an archive: a Parquet table of its members, sorted, so that names are found without reading all.

It is sorted by ``key``, the name as it is searched by (see ``names.folded``), then by name: names that differ only in
how they were written down stand together, and one search finds the exact one and those like it. Members are sorted in
runs of bounded size, which are then merged, so that memory does not depend on their number. Refused members stand in
it, too, with why.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gristmill.spec.errors import DamagedSource
from gristmill.storage.archives.entries import Entry, Refusal, Scan, Summary
from gristmill.storage.archives.names import ODD, folded, member_name, stem_of
from gristmill.storage.files import check_regular, machine_error, whole_file

__all__ = ["SCHEMA", "IndexWriter", "MemberIndex"]

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("name", pa.string()),
        ("raw", pa.binary()),
        ("offset", pa.int64()),
        ("packed_bytes", pa.int64()),
        ("size_bytes", pa.int64()),
        ("method", pa.string()),
        ("crc32", pa.uint32()),
        ("refused", pa.string()),
        ("archive", pa.int32()),
    ]
)
"""Columns of an index; see :class:`gristmill.storage.archives.entries.Entry`."""

_NUMBERS = ("offset", "packed_bytes", "size_bytes", "archive")
_ALWAYS = ("key", "name", "method", *_NUMBERS)
"""Columns without nulls."""
_RUN = SCHEMA.append(pa.field("order", pa.int64()))
_RUN_ROWS = 1 << 18
_BATCH_ROWS = 1 << 14
_GROUP_ROWS = 1 << 15
_SUMMARY = b"gristmill.archive"
_KINDS = {
    "kind": str,
    "revision": int,
    "files": list,
    "members": int,
    "refused": dict,
    "cut": str | None,
    "notes": list,
    "stems": bool,
    "told": dict,
}
"""Of what is in a summary."""
_ORDER = [("key", "ascending"), ("name", "ascending"), ("order", "ascending")]


def keys_of(names: pa.Array, *, stems: bool = False) -> pa.Array:
    """Names as they are sorted and searched by.

    Args:
        names: Texts.
        stems: Without their extensions.
    """
    odd = pc.match_substring_regex(names, ODD)
    keys = pc.if_else(odd, pa.scalar(None, pa.string()), pc.ascii_lower(names))
    if keys.null_count:
        keys = pc.replace_with_mask(
            keys, odd, pa.array(map(folded, names.filter(odd).to_pylist()), pa.string())
        )
    return pa.array(map(stem_of, keys.to_pylist()), pa.string()) if stems else keys


class IndexWriter:
    """Takes an archive's members in the order found and writes its index, sorted, in bounded memory.

    Args:
        path: Of the index. Nothing is there before :meth:`finish` has written it whole.
        tell: Called with the number of members so far, now and then; what it raises ends the pass.
        stems: A name is also found by one that differs in its extension.
    """

    def __init__(
        self, path: Path, tell: Callable[[int], None] = lambda members: None, *, stems: bool = False
    ) -> None:
        self._path, self._tell, self._stems = path, tell, stems
        self._files = ExitStack()
        self._runs: list[Iterator[pa.Table]] = []
        self._rows: list[Entry] = []
        self._found = 0

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, entries: Iterator[Entry]) -> None:
        """Take members, as many as there are."""
        for entry in entries:
            self._rows.append(entry)
            if len(self._rows) == _RUN_ROWS:
                self._flush()
            elif len(self._rows) % 4096 == 0:
                self._tell(self._found + len(self._rows))

    def _flush(self) -> None:
        """Sort what was taken since the last time and put it aside, in a file that has no name."""
        run = self._sorted_rows()
        stream = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115  closed with the writer
        self._files.callback(stream.close)
        with pa.ipc.new_file(stream, _RUN) as writer:
            writer.write_table(run, max_chunksize=_BATCH_ROWS)
        self._runs.append(_batches(stream))

    def _sorted_rows(self) -> pa.Table:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(Entry._fields)
        arrays = [pa.array(columns[Entry._fields.index(kind.name)], kind.type) for kind in list(SCHEMA)[1:]]
        order = pa.array(np.arange(self._found, self._found + len(self._rows)))
        self._found += len(self._rows)
        self._rows = []
        table = pa.Table.from_arrays([keys_of(arrays[0], stems=self._stems), *arrays, order], schema=_RUN)
        return table.sort_by(_ORDER)

    def finish(
        self,
        kind: str,
        revision: int,
        files: tuple[tuple[str, int], ...],
        scan: Scan,
        told: Mapping[str, Any] | None = None,
    ) -> Summary:
        """Write the index; returns what is in it.

        Raises:
            OSError: As the system says.
        """
        runs = [*self._runs, iter([self._sorted_rows()])]
        later = [(why.value, np.array(places)) for why, places in scan.refused_later.items()]
        members, refused = 0, Counter[str]()
        with whole_file(self._path) as stream, pq.ParquetWriter(stream, SCHEMA, compression="zstd") as writer:
            for table in _in_groups(_merged(runs)):
                judged = _judged(table, later)
                counts = pc.value_counts(judged["refused"].combine_chunks()).to_pylist()
                refused.update({count["values"]: count["counts"] for count in counts if count["values"]})
                members += judged["refused"].null_count
                writer.write_table(judged.select(SCHEMA.names), row_group_size=_GROUP_ROWS)
                self._tell(self._found)
            summary = Summary(
                kind=kind,
                revision=revision,
                files=files,
                members=members,
                refused=dict(sorted(refused.items())),
                cut=scan.cut,
                notes=tuple(scan.notes),
                stems=self._stems,
                told=told or {},
            )
            writer.add_key_value_metadata({_SUMMARY: orjson.dumps(asdict(summary))})
        return summary


def _batches(stream: BinaryIO | Any) -> Iterator[pa.Table]:
    """A run that was put aside, a piece at a time."""
    with pa.ipc.open_file(stream) as reader:
        for number in range(reader.num_record_batches):
            yield pa.Table.from_batches([reader.get_batch(number)])


def _merged(runs: list[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Sorted runs as one sorted sequence of tables; rows of one key are never in two of them."""
    held = [next(run, _RUN.empty_table()) for run in runs]
    open_runs = set(range(len(runs)))
    while open_runs:
        bounds = {number: held[number]["key"][-1].as_py() for number in open_runs if held[number].num_rows}
        bound = min(bounds.values(), default=None)  # below it, every run's rows are in memory
        ready = []
        for number, table in enumerate(held):
            size = _rows_below(table, bound)
            ready.append(table.slice(0, size))
            held[number] = table.slice(size)
        table = pa.concat_tables(ready)
        if table.num_rows:
            yield table.sort_by(_ORDER)
        for number in sorted(open_runs):
            if held[number].num_rows and held[number]["key"][0].as_py() != bound:
                continue
            more = next(runs[number], None)
            if more is None:
                open_runs.discard(number)
            else:
                held[number] = pa.concat_tables([held[number], more])
    rest = pa.concat_tables(held)
    if rest.num_rows:
        yield rest.sort_by(_ORDER)


def _rows_below(table: pa.Table, bound: str | None) -> int:
    if bound is None or not table.num_rows:
        return 0
    below: int = pc.sum(pc.less(table["key"], bound)).as_py() or 0
    return below


def _in_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about the size of a row group, none of which ends within a key."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= _GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _judged(table: pa.Table, later: list[tuple[str, np.ndarray[Any, Any]]]) -> pa.Table:
    """With the refusals that only all members together show: the last good one of a name is the one that counts."""
    refused = np.array(table["refused"].to_pylist(), dtype=object)
    order = table["order"].to_numpy()
    for why, places in later:
        good = np.array([one is None for one in refused], bool)
        refused[np.isin(order, places) & good] = why
    names = table["name"].combine_chunks()
    same = pc.equal(names.slice(0, max(0, len(names) - 1)), names.slice(1)).to_numpy(zero_copy_only=False)
    good_after = False
    for place in np.flatnonzero(same)[::-1].tolist():  # from each pair's later row to its earlier one
        good_after = refused[place + 1] is None or (
            good_after and place + 1 < len(same) and bool(same[place + 1])
        )
        if good_after and refused[place] is None:
            refused[place] = Refusal.DUPLICATE.value
    column = table.schema.get_field_index("refused")
    return table.set_column(column, "refused", pa.array(refused, pa.string()))


class MemberIndex:
    """An index that was written; for any number of threads and processes.

    Args:
        path: Of the index.

    Raises:
        DamagedSource: It is no index, or a damaged one.
        UsageError: It is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            check_regular(path)
        except OSError as err:
            raise machine_error(err, path) from err
        try:
            with pq.ParquetFile(path) as file:
                footer = file.metadata
                if file.schema_arrow != SCHEMA:
                    raise DamagedSource(_damaged(path))
                self.summary = _summary(orjson.loads((footer.metadata or {})[_SUMMARY]))
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as err:
            raise DamagedSource(_damaged(path)) from err
        self._bounds = [_bounds(footer.row_group(group).column(0)) for group in range(footer.num_row_groups)]

    def find(self, names: Sequence[str], *, loosely: bool = True) -> list[Entry | None]:
        """Say what is known of each name; None where nothing is. Many at once cost little more than one.

        The member of exactly that name comes first. If there is none, and ``loosely``, the only good one whose name
        differs in how it was written down (see :func:`gristmill.storage.archives.names.folded`) stands for it
        (:attr:`Entry.name` tells), then, in an index of stems, the only one that differs in its extension; of
        several of them, one comes that is refused as ambiguous. A refused member is only given for its own name.
        """
        asked = [member_name(name.encode("utf-8", "surrogatepass"))[0] for name in names]
        keys = keys_of(pa.array([_text(name) for name in asked], pa.string()), stems=self.summary.stems)
        found: dict[str, list[Entry]] = {}
        wanted = pc.unique(keys)
        for table in self._groups_with(wanted):
            rows = table.filter(pc.is_in(table["key"], value_set=wanted))
            for key, entry in zip(rows["key"].to_pylist(), self._entries(rows), strict=True):
                found.setdefault(key, []).append(entry)
        return [
            _chosen(name, found.get(key, []), loosely)
            for name, key in zip(asked, keys.to_pylist(), strict=True)
        ]

    def below(self, folders: Sequence[str]) -> Iterator[tuple[int, Entry]]:
        """The members that lie in some folders, refused ones, too, each with the number of its folder.

        Members of a folder come in the order of the index, which is not that of the archive. A folder is known by its
        exact name, since it is mostly an id; what lies in a folder within it is not in it.
        """
        asked = [_text(member_name(name.encode("utf-8", "surrogatepass"))[0]) for name in folders]
        places: dict[str, list[int]] = {}
        for number, name in enumerate(asked):
            places.setdefault(name, []).append(number)
        wanted = pa.array(places, pa.string())
        for table in self._groups_below(wanted):
            rows = table.filter(pc.is_in(_folders(table["name"]), value_set=wanted))
            for entry in self._entries(rows) if rows.num_rows else ():
                for number in places[entry.name.rpartition("/")[0]]:
                    yield number, entry

    def _groups_below(self, wanted: pa.Array) -> Iterator[pa.Table]:
        """The row groups that may hold a member of some folders."""
        lows = sorted(f"{key}/" for key in keys_of(wanted).to_pylist())
        highs = list(accumulate((f"{low[:-1]}0" for low in lows), max))  # a zero is what comes behind a slash
        groups = [
            group
            for group, (low, high) in enumerate(self._bounds)
            if low is None
            or high is None
            or ((before := bisect_right(lows, high)) and highs[before - 1] > low)
        ]
        with self._opened() as file:
            for group in groups:
                yield file.read_row_group(group)

    def _groups_with(self, wanted: pa.Array) -> Iterator[pa.Table]:
        """The row groups that may hold one of some keys."""
        keys = sorted(wanted.to_pylist())
        groups = [
            group
            for group, (low, high) in enumerate(self._bounds)
            if low is None or high is None or bisect_left(keys, low) < bisect_right(keys, high)
        ]
        with self._opened() as file:
            for group in groups:
                yield file.read_row_group(group)

    def entries(self) -> Iterator[Entry]:
        """All members, refused ones, too, in the index's order."""
        for table in self.batches():
            yield from self._entries(table)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The table, a piece at a time."""
        with self._opened() as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=None if columns is None else list(columns)):
                yield pa.Table.from_batches([batch])

    def _opened(self) -> _Opened:
        return _Opened(self._path)

    def _entries(self, table: pa.Table) -> Iterator[Entry]:
        if not _can_be(table):
            raise DamagedSource(_damaged(self._path))
        for row in table.select(SCHEMA.names[1:]).to_pylist():
            why = row["refused"]
            yield Entry(**{**row, "refused": None if why is None else Refusal(why)})


class _Opened:
    """An index's file while it is read: what Arrow says of a damaged one is said as ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> pq.ParquetFile:
        try:
            self._file = pq.ParquetFile(self._path)
        except (pa.ArrowException, OSError) as err:
            raise DamagedSource(_damaged(self._path)) from err
        return self._file

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(err, pa.ArrowException) or (isinstance(err, OSError) and err.errno is None):
            raise DamagedSource(_damaged(self._path)) from err


def _folders(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """The folder of each member; the empty text of one that lies in none."""
    return pc.replace_substring_regex(names, r"(?s)(?:^|/)[^/]*\z", "")


def _damaged(path: Path) -> str:
    return f"{path} is no index of an archive, or it is damaged. Remove it and give the same command again."


def _bounds(column: Any) -> tuple[str | None, str | None]:
    found = column.statistics
    return (found.min, found.max) if found is not None and found.has_min_max else (None, None)


def _summary(stored: dict[str, Any]) -> Summary:
    if not all(isinstance(stored[name], kind) for name, kind in _KINDS.items()):
        raise TypeError("a value of another type")
    files = tuple((str(name), int(size)) for name, size in stored["files"])
    refused = {why: int(members) for why, members in stored["refused"].items()}
    return Summary(**{**stored, "files": files, "refused": refused, "notes": tuple(stored["notes"])})


def _can_be(table: pa.Table) -> bool:
    """Whether rows hold what was written: an index lies where others may write, too."""
    if any(table[name].null_count for name in _ALWAYS):
        return False
    least = [pc.min(table[name]).as_py() for name in _NUMBERS]
    known = pa.array([why.value for why in Refusal])
    refusals = pc.is_in(pc.drop_null(table["refused"]), value_set=known)
    return all(number is None or number >= 0 for number in least) and pc.all(refusals).as_py() is not False


def _text(name: str) -> str:
    """A name without halves of surrogate pairs, which no index holds."""
    return name.encode("utf-8", "replace").decode()


def _chosen(name: str, like: list[Entry], loosely: bool) -> Entry | None:
    exact = [entry for entry in like if entry.name == name]
    if exact:
        return next((entry for entry in exact if entry.refused is None), exact[-1])
    good = [entry for entry in like if entry.refused is None]
    if not loosely or not good:
        return None
    key = folded(name)
    good = [entry for entry in good if folded(entry.name) == key] or good  # all, unless keys are stems
    return good[0] if len(good) == 1 else good[0]._replace(refused=Refusal.AMBIGUOUS)
