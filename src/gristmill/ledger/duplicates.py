"""The same picture in finished datasets, by the bytes as they came or by perceptual hash; out of core, in DuckDB.

Media are read out of the shards' ``json`` parts, so what is found is what a trainer reads. They have the order of
their datasets, as given, and within one that of its shards. A group is a picture and all that are the same; its
first leads. Near pictures are compared with those that lead groups alone, so that a group does not creep from one
picture to another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import shards_of
from gristmill.ledger.reading import samples_in
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.errors import UsageError
from gristmill.spec.extras import install
from gristmill.storage.store import Place, store_at

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "LIST_SCHEMA",
    "MOST_BITS",
    "DuplicateGroup",
    "Duplicates",
    "find_duplicates",
    "lead_near_hashes",
    "spare_samples",
]

MOST_BITS = 8
_HASH_BITS = 64
_FEWEST_BITS = 16
"""The hash of a picture that is not near-constant has as many bits set as not; with fewer it says nothing."""
_LARGEST = 20
_BATCH_ROWS = 1 << 16
_LARGE_BYTES = 4096
_BOX = re.compile(rb"\[\s*\d*\.?\d+(?:\s*,\s*\d*\.?\d+){3}\s*\]")

_MEDIA = pa.schema(
    [
        ("n", pa.int64()),
        ("dataset", pa.int32()),
        ("key", pa.string()),
        ("medium", pa.string()),
        ("shard", pa.string()),
        ("place", pa.int32()),
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
        ("boxes", pa.bool_()),
    ]
)

LIST_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),  # its folder's name
        ("key", pa.string()),  # of the sample
        ("medium", pa.string()),
        ("sha256", pa.string()),  # of the bytes as they came
        ("phash", pa.string()),  # null where it was not measured
        ("group", pa.int64()),  # 0 is that of the first picture that has a duplicate
        ("first", pa.bool_()),  # the first of its group
        ("boxes", pa.bool_()),  # the sample speaks of boxes, which hold for its own picture
    ]
)
"""One row for each medium of which there are several, in the order of groups, and within one in that of datasets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroup:
    """Media that show one picture; ``examples`` are the places of the first, each dataset and key."""

    media: int
    datasets: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """The account of what was found.

    Attributes:
        media: Of each dataset, by name.
        unhashed: Of these, media without a perceptual hash.
        groups: Pictures that several media show.
        within: Media of each dataset that show a picture which an earlier one of the same dataset shows.
        across: Pictures that two datasets have both, by their names.
        largest: Groups with the most media.
    """

    media: dict[str, int]
    unhashed: dict[str, int]
    groups: int
    within: dict[str, int]
    across: dict[tuple[str, str], int]
    largest: tuple[DuplicateGroup, ...]


def find_duplicates(
    folders: Sequence[Place],
    scratch: Path,
    *,
    bits: int | None = 2,
    write: Callable[[Iterator[pa.RecordBatch]], None] = lambda batches: None,
    tell: Callable[[int], None] = lambda media: None,
    memory_bytes: int = 1 << 30,
) -> Duplicates:
    """Compare the media of finished datasets.

    Args:
        folders: Of datasets, in the order in which the first wins; of one in an object store each shard is fetched.
        scratch: An empty folder for what does not fit into memory.
        bits: In which perceptual hashes of one picture may differ, 0 to 8; None for identical bytes alone.
        write: Given the list, in batches of :data:`LIST_SCHEMA`.
        tell: Called with the number of media read.
        memory_bytes: What DuckDB may hold.

    Raises:
        UsageError: DuckDB is not installed.
        DamagedOutput: A shard is not what was written.
    """
    with _compared(folders, scratch, bits, tell, memory_bytes) as base:
        write(_listed(base))
        return _summary(base)


def spare_samples(
    folders: Sequence[Place],
    scratch: Path,
    *,
    bits: int | None = 2,
    without: Callable[[int, str, int], bool] = lambda dataset, shard, place: False,
    tell: Callable[[int], None] = lambda media: None,
    memory_bytes: int = 1 << 30,
) -> Iterator[tuple[int, str, int]]:
    """Samples all of whose media an earlier dataset has: the dataset's number, the shard, the place in it, in order.

    Those that speak of boxes are none of them, and those without media. Arguments are those of
    :func:`find_duplicates`, and ``without``, which says what samples are not looked at.

    Raises:
        UsageError: DuckDB is not installed.
        DamagedOutput: A shard is not what was written.
    """
    with _compared(folders, scratch, bits, tell, memory_bytes, without) as base:
        rows = base.execute(
            """
            SELECT media.dataset, media.shard, media.place
            FROM media JOIN grouped USING (n) JOIN grouped ahead ON ahead.n = grouped.leader
            GROUP BY ALL HAVING bool_and(ahead.dataset <> media.dataset AND NOT media.boxes)
            ORDER BY ALL
            """
        )
        while some := rows.fetchmany(_BATCH_ROWS):
            yield from some


@contextmanager
def _compared(
    folders: Sequence[Place],
    scratch: Path,
    bits: int | None,
    tell: Callable[[int], None],
    memory_bytes: int,
    without: Callable[[int, str, int], bool] = lambda dataset, shard, place: False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the tables ``names``, ``media``, ``grouped`` and ``several``."""
    try:
        import duckdb
    except ModuleNotFoundError as err:
        raise UsageError(
            f"duplicates are found by DuckDB, which is not installed: {install('duckdb')}"
        ) from err
    names = _names(folders)
    media = scratch / "media.parquet"
    with pq.ParquetWriter(media, _MEDIA, compression="zstd") as writer:
        for batch in _batches(folders, tell, without):
            writer.write_batch(batch)
    with duckdb.connect(str(scratch / "duplicates.duckdb")) as base:
        base.execute(f"SET memory_limit = '{memory_bytes}B'")
        base.execute("SET temp_directory = ?", [str(scratch / "spilled")])
        base.execute("CREATE TABLE names (dataset INTEGER, name VARCHAR)")
        base.executemany("INSERT INTO names VALUES (?, ?)", list(enumerate(names)))
        base.execute(f"CREATE VIEW media AS SELECT * FROM read_parquet({_quoted(str(media))})")
        _group(base, bits)
        yield base


def _names(folders: Sequence[Place]) -> list[str]:
    """What datasets are called in the list: their folders' names, or where two have one name their paths."""
    names = [store_at(folder).title for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _batches(
    folders: Sequence[Place], tell: Callable[[int], None], without: Callable[[int, str, int], bool]
) -> Iterator[pa.RecordBatch]:
    rows: list[dict[str, Any]] = []
    read = 0
    for dataset, folder in enumerate(folders):
        ledger = Ledger(folder)
        try:
            shards = shards_of(ledger)
        finally:
            ledger.close()
        for shard in shards:
            for place, sample in enumerate(samples_in(folder, shard, large_bytes=_LARGE_BYTES)):
                if without(dataset, shard.path, place):
                    continue
                for row in _media_of(sample):
                    rows.append({**row, "n": read, "dataset": dataset, "shard": shard.path, "place": place})
                    read += 1
                    if len(rows) == _BATCH_ROWS:
                        yield pa.RecordBatch.from_pylist(rows, _MEDIA)
                        rows.clear()
            tell(read)
    yield pa.RecordBatch.from_pylist(rows, _MEDIA)


def _media_of(sample: ShardSample) -> Iterator[dict[str, Any]]:
    """What a sample's ``json`` part says of its media."""
    body = sample.parts.get("json", b"{}")
    try:
        known = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    media = known.get("media") if isinstance(known, dict) else None
    if isinstance(known, dict) and media is None and "sha256" in known:
        media = {"": known}
    boxes = _BOX.search(body) is not None
    for name, facts in media.items() if isinstance(media, dict) else ():
        if isinstance(facts, dict) and isinstance(facts.get("sha256"), str):
            yield {
                "key": sample.key,
                "medium": name,
                "sha256": facts["sha256"],
                "phash": _hash(facts.get("phash")),
                "boxes": boxes,
            }


def _hash(text: Any) -> int | None:
    """A perceptual hash as a number; None where there is none, or the picture is near-constant."""
    try:
        value = int(text, 16) if isinstance(text, str) and len(text) == _HASH_BITS // 4 else None
    except ValueError:
        return None
    good = value is not None and _FEWEST_BITS <= value.bit_count() <= _HASH_BITS - _FEWEST_BITS
    return value if good else None


def _group(base: duckdb.DuckDBPyConnection, bits: int | None) -> None:
    """Make the table ``grouped``: of each medium's number ``n`` the number of the medium that leads it."""
    base.execute(
        "CREATE TABLE pictures AS SELECT sha256, min(n) AS n, arg_min(phash, n) AS phash FROM media GROUP BY sha256"
    )
    base.execute(
        "CREATE TABLE hashes AS SELECT phash, min(n) AS n FROM pictures WHERE phash IS NOT NULL GROUP BY phash"
        + (" HAVING false" if bits is None else "")
    )
    base.execute("CREATE TABLE led (n BIGINT, leader BIGINT)")
    if bits:
        lead_near_hashes(base, bits)
    base.execute(
        "CREATE TABLE grouped AS "
        "SELECT media.n, media.dataset, coalesce(led.leader, hashes.n, pictures.n) AS leader "
        "FROM media JOIN pictures USING (sha256) LEFT JOIN hashes ON hashes.phash = pictures.phash "
        "LEFT JOIN led ON led.n = hashes.n"
    )
    base.execute(
        "CREATE TABLE several AS SELECT leader, count(*) AS media, count(DISTINCT dataset) AS datasets, "
        "(row_number() OVER (ORDER BY leader)) - 1 AS number FROM grouped GROUP BY leader HAVING count(*) > 1"
    )


def lead_near_hashes(base: duckdb.DuckDBPyConnection, bits: int) -> None:
    """Fill the table ``led``: hashes that are near an earlier one which leads.

    Two hashes that differ in at most n bits are equal in one of n + 1 bands.
    """
    edges = [round(i * _HASH_BITS / (bits + 1)) for i in range(bits + 2)]
    bands = " UNION ".join(
        f"SELECT a.n AS first, b.n AS second FROM hashes a JOIN hashes b ON "
        f"((a.phash >> {low}) & {(1 << (high - low)) - 1}::UBIGINT) = "
        f"((b.phash >> {low}) & {(1 << (high - low)) - 1}::UBIGINT) "
        f"WHERE a.n < b.n AND bit_count(xor(a.phash, b.phash)) <= {bits}"
        for low, high in pairwise(edges)
    )
    base.execute(f"CREATE TABLE near AS {bands}")
    led: dict[int, int] = {}
    pairs = base.cursor().execute("SELECT first, second FROM near ORDER BY second, first")
    while some := pairs.fetchmany(_BATCH_ROWS):
        for first, second in some:  # what leads is settled before anything that it may lead
            if second not in led and first not in led:
                led[second] = first
    table = pa.table(
        {"n": list(led), "leader": list(led.values())},
        schema=pa.schema([("n", pa.int64()), ("leader", pa.int64())]),
    )
    base.register("found", table)
    base.execute("INSERT INTO led SELECT * FROM found")
    base.unregister("found")


def _listed(base: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
    rows = base.cursor().execute(
        "SELECT names.name, media.key, media.medium, media.sha256, format('{:016x}', media.phash) AS phash, "
        "several.number, grouped.n = grouped.leader, media.boxes "
        "FROM grouped JOIN several USING (leader) JOIN media ON media.n = grouped.n "
        "JOIN names ON names.dataset = media.dataset ORDER BY several.number, grouped.n"
    )
    while some := rows.fetchmany(_BATCH_ROWS):
        columns = zip(*some, strict=True)
        yield pa.RecordBatch.from_arrays(
            [pa.array(list(values), field.type) for values, field in zip(columns, LIST_SCHEMA, strict=True)],
            schema=LIST_SCHEMA,
        )


def _summary(base: duckdb.DuckDBPyConnection) -> Duplicates:
    def rows(query: str) -> list[Any]:
        return base.execute(query).fetchall()

    counted = rows(
        "SELECT name, count(n), count(*) FILTER (n IS NOT NULL AND phash IS NULL) FROM names LEFT JOIN media "
        "USING (dataset) GROUP BY ALL ORDER BY min(names.dataset)"
    )
    within = rows(
        """
        SELECT name, sum(media - 1)::BIGINT
        FROM (SELECT dataset, leader, count(*) AS media FROM grouped GROUP BY ALL) JOIN names USING (dataset)
        GROUP BY name HAVING sum(media - 1) > 0 ORDER BY min(dataset)
        """
    )
    across = rows(
        """
        WITH held AS (SELECT DISTINCT leader, dataset FROM grouped JOIN several USING (leader) WHERE datasets > 1)
        SELECT one.name, two.name, count(*)
        FROM held a JOIN held b ON a.leader = b.leader AND a.dataset < b.dataset
        JOIN names one ON one.dataset = a.dataset JOIN names two ON two.dataset = b.dataset
        GROUP BY ALL ORDER BY min(a.dataset), min(b.dataset)
        """
    )
    largest = rows(
        f"SELECT leader, media, datasets FROM several ORDER BY media DESC, leader LIMIT {_LARGEST}"
    )
    shown = []
    for leader, media, datasets in largest:
        examples = rows(
            "SELECT names.name, media.key FROM grouped JOIN media USING (n) "
            f"JOIN names ON names.dataset = media.dataset WHERE leader = {leader} ORDER BY n LIMIT 3"
        )
        shown.append(DuplicateGroup(media=media, datasets=datasets, examples=tuple(examples)))
    return Duplicates(
        media={name: media for name, media, _ in counted},
        unhashed={name: unhashed for name, _, unhashed in counted if unhashed},
        groups=rows("SELECT count(*) FROM several")[0][0],
        within=dict(within),
        across={(one, two): pictures for one, two, pictures in across},
        largest=tuple(shown),
    )
