"""A dataset's folder as a run leaves it, made up: records, fates, parts, shards with real photographs."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.ledger.card import card_bytes
from gristmill.ledger.croissant import croissant_bytes
from gristmill.ledger.fates import fates_table, not_kept_table, write_fates
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import manifest_bytes
from gristmill.ledger.run_config import InputFile, RunConfig
from gristmill.media.image import Transcoded, transcode
from gristmill.media.settings import ImageSettings
from gristmill.shards.samples import StoredSample, encode_sample, sample_parts
from gristmill.shards.shape import Shape
from gristmill.shards.sidecars import Sidecars
from gristmill.shards.webdataset import TarWriter
from gristmill.spec.fate import Fate
from gristmill.spec.locator import Url
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import MediaRef, Origin, Sample, Show, Text, Turn
from gristmill.spec.step import MediaContext, Needs, ShardStep, TableContext, TableStep
from gristmill.spec.task import ShardInfo, TaskRecord
from gristmill.storage.files import whole_file
from gristmill.viewer.report import report_bytes

BEGAN_AT = 1_767_225_600.0  # 2026-01-01 00:00 UTC
EVIL = '<script>alert("x")</script> & a very long caption ' + "with many words " * 20

UPSTREAM = pa.schema(
    [
        pa.field("id", pa.int64()),
        pa.field("url", pa.string()),
        pa.field("text", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("score", pa.float32()),
        pa.field("watermark_score", pa.float64()),  # null in the first rows of each file
        pa.field("tags", pa.list_(pa.string())),  # empty in the first rows
        pa.field("seen", pa.timestamp("us")),
    ]
)

_LOSSES = (
    (Reason.HTTP_404, 404, 0.13),
    (Reason.DNS_NOT_FOUND, None, 0.06),
    (Reason.HTTP_403, 403, 0.04),
    (Reason.HTTP_429, 429, 0.03),
    (Reason.CONNECT_TIMEOUT, None, 0.03),
    (Reason.HTTP_5XX, 503, 0.02),
    (Reason.NOT_AN_IMAGE, 200, 0.02),
    (Reason.DNS_FAILED, None, 0.015),
    (Reason.STALLED, 200, 0.01),
    (Reason.TRUNCATED, 200, 0.008),
    (Reason.OPTED_OUT, 200, 0.008),
    (Reason.TOO_SMALL, 200, 0.005),
    (Reason.BAD_URL, None, 0.005),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSelect(TableStep):
    """Stands for a selection."""

    share: float = 0.2
    score: tuple[str, ...] = ("score",)
    name = "select"

    def apply(self, table: Path, box: TableContext) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCrawl(ShardStep):
    """Stands for the crawl."""

    size_px: int = 336
    allow: frozenset[str] = frozenset({"png", "jpeg"})
    name = "crawl"
    needs = Needs(network=True)

    def apply(self, samples: Sequence[Sample], box: MediaContext) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    folder: Path
    recipe: Recipe
    config: RunConfig
    ledger: Ledger


def made_recipe() -> Recipe:
    return Recipe(
        name="made_up",
        version="2026.01.1",
        title="Made-up captions",
        description="Photographs with captions, made up for tests.",
        homepage="https://example.org/made-up",
        license="CC-BY-4.0",
        sources=(
            Source(
                key="annotations",
                hub="example/made-up",
                revision="0123456789abcdef0123456789abcdef01234567",
                license="CC-BY-4.0",
            ),
        ),
        parse=lambda row: Sample(key=str(row["id"])),
        steps=(MadeSelect(), MadeCrawl()),
        citation="@misc{madeup, title={Made up}}",
        traps=("Scores are floats: a few of them tie.",),
    )


@functools.cache
def photographs() -> tuple[Transcoded, ...]:
    folder = resources.files("gristmill.testing") / "photos"
    names = sorted(p.name for p in folder.iterdir() if p.name.endswith(".jpg"))[::4]
    return tuple(transcode((folder / n).read_bytes(), ImageSettings(size_px=200)) for n in names)


def make_dataset(
    root: Path, *, files: int = 2, rows_per_file: int = 600, shards: int = 3, packed: bool = True
) -> Made:
    """Write ``root/made-up``: ``files`` annotation files, a fifth of their rows chosen, most of those kept."""
    recipe = made_recipe()
    folder = root / recipe.public_name
    inputs = tuple(
        InputFile(
            source="annotations",
            name=f"data/part-{i:05d}.parquet",
            size_bytes=rows_per_file * 300,
            digest=hashlib.sha256(str(i).encode()).hexdigest(),
        )
        for i in range(files)
    )
    config = RunConfig(
        recipe=recipe.public_name,
        name=recipe.public_name,
        version=recipe.version,
        identity=recipe.identity(),
        inputs=inputs,
        sources={"annotations": "example/made-up@0123456789abcdef0123456789abcdef01234567"},
        settings={"crawl.size_px": "200"},
        rounds=(("http_5xx",),),
        asks=recipe.asks,
    )
    replace(config, identity=_plain(config.identity)).write(folder)
    ledger = Ledger(folder)
    rng = np.random.default_rng(7)
    kept: list[Sample] = []
    for position, source in enumerate(inputs):
        chosen = _rows(folder, ledger, position, source, rows_per_file)
        kept += _samples(folder, ledger, position, source, chosen, rng)
    _retry(ledger)
    if packed:
        _pack(folder, ledger, kept, shards)
    ledger.close()
    return Made(folder=folder, recipe=recipe, config=config, ledger=Ledger(folder))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _info(folder: Path, path: str, role: Any, samples: int) -> ShardInfo:
    body = (folder / path).read_bytes()
    return ShardInfo(
        path=path, role=role, samples=samples, size_bytes=len(body), digest=hashlib.sha256(body).hexdigest()
    )


def _rows(folder: Path, ledger: Ledger, position: int, source: InputFile, rows: int) -> list[dict[str, Any]]:
    every = np.arange(rows)
    chosen, rest = every[::5], np.setdiff1d(every, every[::5])
    floor, beyond = rest[: len(rest) * 3 // 4], rest[len(rest) * 3 // 4 :]
    name = f"fates/rows-{position:05d}-00000-{position:016x}.parquet"
    tables = [
        not_kept_table(pa.array(some), reason, "", source=source.source, file=source.name)
        for some, reason in ((floor, Reason.BELOW_FLOOR), (beyond, Reason.BEYOND_SHARE))
    ]
    with whole_file(folder / name) as stream:
        write_fates(stream, tables)
    upstream = [_upstream(position, int(row), i) for i, row in enumerate(chosen)]
    part = f".gristmill/parts/{position:05d}-00000-{position:016x}.parquet"
    (folder / part).parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(upstream, schema=UPSTREAM).append_column("__row", pa.array(chosen))
    pq.write_table(table, folder / part)
    ledger.commit(
        TaskRecord(
            task_id=f"rows{position:012x}",
            stage="rows",
            account="reading",
            number=(0, position, 0),
            outputs=(
                _info(folder, part, "part", len(chosen)),
                _info(folder, name, "fates", len(rest)),
            ),
            samples_in=rows,
            kept=len(chosen),
            dropped={"below_floor": len(floor), "beyond_share": len(beyond)},
            notes=(f"{source.name}: select: a note <b>of the run</b>",) if position == 0 else (),
            seconds=2.0,
            finished_at=BEGAN_AT + 2.0 + position,
        )
    )
    return [{**row, "__row": int(r)} for row, r in zip(upstream, chosen, strict=True)]


def _upstream(position: int, row: int, i: int) -> dict[str, Any]:
    return {
        "id": position * 1_000_000 + row,
        "url": f"https://pictures-{row % 17}.example.org/{position}/{row}.jpg",
        "text": EVIL if i == 0 else f"a photograph, number {row} of list {position}",
        "width": 640 + row % 300,
        "score": 0.6 + row / 10_000,
        "watermark_score": None if i < 60 else row / 1000,
        "tags": [] if i < 60 else ["tag", str(row)],
        "seen": None if i < 60 else dt.datetime(2022, 8, 31, 12, 0, 1, row),
    }


def _samples(
    folder: Path, ledger: Ledger, position: int, source: InputFile, rows: list[dict[str, Any]], rng: Any
) -> list[Sample]:
    names = [reason for reason, _, _ in _LOSSES]
    weights = [weight for _, _, weight in _LOSSES]
    fates, kept, hosts = [], [], Counter[str]()
    draws = rng.choice(len(names) + 1, size=len(rows), p=[*weights, 1 - sum(weights)])
    for i, (row, draw) in enumerate(zip(rows, draws, strict=True)):
        lost = _LOSSES[draw] if draw < len(names) else None
        sample = _sample(row, source, i)
        fates.append(_fate(row, sample, lost, rng, position))
        if lost is None:
            kept.append(sample)
        elif lost[0] is not Reason.BAD_URL:
            hosts[row["url"].split("/")[2]] += 1
    name = f"fates/samples-{position:05d}-00000-{position:016x}.parquet"
    table = fates_table(fates, source=source.source, file=source.name)
    with whole_file(folder / name) as stream:
        write_fates(stream, [table])
    ledger.commit(
        TaskRecord(
            task_id=f"samp{position:012x}",
            stage="samples",
            account="making",
            number=(0, position, 0),
            outputs=(_info(folder, name, "fates", len(fates)),),
            samples_in=len(rows),
            kept=len(kept),
            dropped=dict(Counter(str(f.reason) for f in fates if f.reason)),
            hosts=dict(hosts),
            facts={
                "bytes_in": 91_000.0 * len(rows),
                "bytes_out": 20_000.0 * len(kept),
                "requests": 1.2 * len(rows),
            },
            seconds=300.0,
            finished_at=BEGAN_AT + 300.0 * (position + 1),
        )
    )
    return kept


def _sample(row: dict[str, Any], source: InputFile, i: int) -> Sample:
    photo = photographs()[i % len(photographs())]
    ref = MediaRef(
        at=Url(row["url"]),
        sha256=hashlib.sha256(photo.body).hexdigest(),
        md5=hashlib.md5(photo.body).hexdigest(),
        raw_bytes=len(photo.body) * 4,
        original_width_px=photo.original_width_px,
        original_height_px=photo.original_height_px,
        mime="image/jpeg",
        size_bytes=len(photo.body),
        width_px=photo.width_px,
        height_px=photo.height_px,
        phash=photo.phash,
        phash_distance=i % 3 * 2,
    )
    return Sample(
        key=f"{row['id']:012d}",
        media={"jpg": ref},
        turns=(Turn(role="caption", parts=(Show(media="jpg"), Text(text=row["text"]))),),
        columns={"clip_sim": float(row["score"])},
        upstream={name: row[name] for name in UPSTREAM.names},
        origin=Origin(source=source.source, file=source.name, row=row["__row"]),
    )


def _fate(row: dict[str, Any], sample: Sample, lost: Any, rng: Any, position: int) -> Fate:
    ref = sample.media["jpg"]
    reason, status = (lost[0], lost[1]) if lost else (None, 200)
    good = reason is None
    return Fate(
        row=row["__row"],
        key=sample.key,
        medium="jpg",
        url=row["url"],
        reason=reason,
        status=status,
        tries=1,
        elapsed_s=float(rng.lognormal(-0.7, 0.9)),
        finished_at=BEGAN_AT + position * 300 + float(rng.beta(2, 1.3)) * 300,
        raw_bytes=int(rng.lognormal(11, 0.9)) if status == 200 else None,
        original_width_px=int(rng.lognormal(6.6, 0.5)) if good else None,
        original_height_px=int(rng.lognormal(6.5, 0.5)) if good else None,
        mime="image/jpeg" if good else None,
        size_bytes=int(rng.lognormal(9.9, 0.4)) if good else None,
        width_px=ref.width_px if good else None,
        height_px=ref.height_px if good else None,
        phash=ref.phash if good else None,
        phash_distance=int(min(64, rng.poisson(1.2) * 2 if rng.random() < 0.93 else 26 + rng.poisson(6)))
        if good
        else None,
    )


def _retry(ledger: Ledger) -> None:
    """A later round that asked one lost sample again and lost it again."""
    ledger.commit(
        TaskRecord(
            task_id="retry00000000001",
            stage="samples",
            account="making",
            number=(1, 0, 0),
            outputs=(),
            samples_in=1,
            kept=0,
            dropped={"http_5xx": 1},
            retried={"http_5xx": 1},
            seconds=1.0,
            finished_at=BEGAN_AT + 900.0,
        )
    )


def _pack(folder: Path, ledger: Ledger, kept: list[Sample], shards: int) -> None:
    bodies = photographs()
    for number in range(shards):
        some = kept[number * len(kept) // shards : (number + 1) * len(kept) // shards]
        path = f"shards/{number:05d}.tar"
        (folder / path).parent.mkdir(exist_ok=True)
        shape = Shape()
        with (
            (folder / path).open("wb") as stream,
            (folder / path).with_suffix(".parquet").open("wb") as table,
        ):
            beside = Sidecars(table)
            tar = TarWriter(stream)
            for sample in some:
                sha256 = sample.media["jpg"].sha256
                body = next(p.body for p in bodies if hashlib.sha256(p.body).hexdigest() == sha256)
                parts = sample_parts(sample, {"jpg": body})
                shape.take(parts)
                beside.add(sample.key, None, StoredSample.read(encode_sample(sample)))
                for part, content in parts:
                    tar.add(f"{sample.key}.{part}", content)
            tar.close()
            beside.close()
        ledger.commit(
            TaskRecord(
                task_id=f"pack{number:012x}",
                stage="pack",
                account="packing",
                number=(0, number, 0),
                outputs=(
                    _info(folder, path, "shard", len(some)),
                    _info(folder, path.replace(".tar", ".parquet"), "sidecar", 0),
                ),
                samples_in=len(some),
                kept=len(some),
                seconds=1.0,
                finished_at=BEGAN_AT + 901.0 + number,
                shape=shape.text(),
            )
        )


def write_manifest(folder: Path, recipe: Recipe, config: RunConfig, ledger: Ledger) -> Path:
    """``dataset.json``, without the command that writes it."""
    return _written(folder / "dataset.json", manifest_bytes(recipe, config, ledger))


def write_card(folder: Path, recipe: Recipe, config: RunConfig, ledger: Ledger) -> Path:
    """Likewise the card."""
    return _written(folder / "README.md", card_bytes(recipe, config, ledger))


def write_croissant(folder: Path, recipe: Recipe, config: RunConfig, ledger: Ledger) -> Path:
    """Likewise ``croissant.json``."""
    return _written(folder / "croissant.json", croissant_bytes(recipe, config, ledger))


def write_report(folder: Path) -> Path:
    """Likewise the report."""
    return _written(folder / "report.html", report_bytes(RunConfig.read(folder), Ledger(folder)))


def _written(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path
