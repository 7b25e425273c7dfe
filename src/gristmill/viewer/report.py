"""``report.html``: one self-contained page about a dataset, to look at and to send on."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from gristmill.ledger.card import REDISTRIBUTION
from gristmill.ledger.documents import Documents, documents
from gristmill.ledger.funnel import Funnel, funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.losses import ADVICE, LossGroup, explained, grouped
from gristmill.ledger.manifest import MANIFEST, shards_of
from gristmill.ledger.mixture_parts import parts_account
from gristmill.ledger.retry_advice import may_heal, retry_advice, retry_command, with_options
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import Totals
from gristmill.ledger.words import duration_text, share_text, size_text, store_text
from gristmill.shards.lossless import utf8
from gristmill.spec.reasons import Reason
from gristmill.spec.task import ShardInfo
from gristmill.storage.store import Store
from gristmill.viewer.benchmarks import Bodies, benchmark_pairs
from gristmill.viewer.charts import Bar, BarColumn, columns, connector, funnel_rows, widths
from gristmill.viewer.lost import examples_of_loss
from gristmill.viewer.measures import Histogram, Measures, evenly_read, measure
from gristmill.viewer.samples import examples

__all__ = ["report_bytes", "template"]

_EXAMPLES = 24
_HOSTS = 12
_HEADINGS = {  # in this order: the longest comes last, so that two columns of them are about even
    LossGroup.LATER: "May come back",
    LossGroup.OURS: "Perhaps our own fault",
    LossGroup.MISSING: "Not in the media that were there",
    LossGroup.RULES: "Left out by the rules",
    LossGroup.NEVER: "Gone for good",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart with its heading, the labels below it, and what its full and its half height stand for."""

    title: str
    note: str
    svg: Markup
    ticks: tuple[str, ...]
    heights: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """One group of reasons."""

    tone: str
    heading: str
    advice: str
    total: int
    share: str
    bars: tuple[Bar, ...]
    command: str


def report_bytes(config: RunConfig, ledger: Ledger, bodies: Bodies | None = None) -> bytes:
    """The content of ``report.html``.

    Reads the records, the fates, a few samples of a few shards and, if it is there, the manifest. Memory does
    not grow with the dataset.

    Args:
        config: What the dataset was begun with.
        ledger: Its records.
        bodies: Where pictures of samples that are in no shard are had from; None does without.

    Raises:
        OSError: As the system says.
    """
    return utf8(template().render(_content(config, ledger, bodies)))


@lru_cache(maxsize=2)
def template(page: str = "report.html") -> Template:
    """A page's template, compiled: that takes a while, and may be done before there is anything to write."""
    environment = Environment(
        loader=PackageLoader("gristmill.viewer", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(page)


def _content(config: RunConfig, ledger: Ledger, bodies: Bodies | None) -> dict[str, Any]:
    totals = ledger.totals()
    levels, judged = funnel(totals, config), totals.of("judging")
    shards = shards_of(ledger)
    shown = examples(ledger.store, shards, _EXAMPLES)
    of_tasks, name = _fates(ledger), ledger.store.title
    fates = [list(_fetched(ledger.store, shards)) for shards in evenly_read(of_tasks)]
    measures = measure(fates, files=sum(map(len, of_tasks)))
    pairs = benchmark_pairs(config, ledger, bodies)
    return {
        "card": _card(ledger.store, config),
        "name": shlex.quote(name),
        "begun": config,
        "levels": levels,
        "tiles": _tiles(levels, totals, config, shards),
        "parts": parts_account(config, ledger),
        "funnel": funnel_rows(levels),
        "losses": _losses(levels, name),
        "chosen": levels.count("selected"),
        "documents": documents(totals, levels),
        "images": _images(documents(totals, levels)),
        "changes": _bars(list(totals.changes.items()), levels.count("kept")),
        "hosts": _hosts(totals),
        "same": totals.global_filter or {},
        "same_dropped": Reason.SAME_PICTURE in {*judged.dropped, *judged.media},
        "same_hosts": _same_hosts(totals.global_filter or {}),
        "statuses": _statuses(measures) if levels.asks else [],
        "lost": examples_of_loss(fates),
        "pairs": pairs,
        "charts": _charts(measures, shown.lengths),
        "rate": _rate(_media_of(levels, measures), measures),
        "measures": measures,
        "pictures": shown.pictures,
        "talks": shown.talks,
        "notes": [*totals.notes, *shown.trouble, *([pairs.trouble] if pairs.trouble else [])],
        "when": _when(totals),
        "store": store_text(totals.in_store) if totals.in_store else "",
        "explained": explained,
        "connector": connector,
        "redistribution": REDISTRIBUTION,
        "again": retry_command(name, may) if (may := retry_advice(levels).may) else "",
    }


_NO_SOURCE = {"hub": None, "revision": None, "files": 0, "local_copy": False}
"""Of a source that a folder names and its recipe does not."""


def _card(store: Store, config: RunConfig) -> dict[str, Any]:
    """Read what the manifest says about the recipe; without one, what the folder was begun with."""
    card: dict[str, Any] = {
        "title": config.name,
        "description": "",
        "homepage": "",
        "license": "",
        "redistribution": "",
        "traps": [],
        "gristmill": "",
        "sources": [],
        "steps": [_plain_step(step) for step in config.identity["steps"]],
    }
    with suppress(FileNotFoundError):
        said = orjson.loads(store.read(MANIFEST))
        card |= {key: said[key] for key in card if key in said and key != "steps"}
    card["sources"] = [
        {**_NO_SOURCE, **source, "size": size_text(source["size_bytes"])} for source in card["sources"]
    ]
    return card


def _plain_step(step: Any) -> dict[str, Any]:
    settings = {key: value for key, value in step.items() if key not in ("step", "revision")}
    return {"name": step["step"], "settings": [(key, _said(value)) for key, value in settings.items()]}


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(sorted(map(str, value)) if isinstance(value, (set, frozenset)) else map(str, value))
    return "none" if value is None else str(value)


def _fates(ledger: Ledger) -> list[list[ShardInfo]]:
    """The fates files of each crawl task, that of the last round first."""
    tasks: dict[tuple[int, ...], list[ShardInfo]] = {}
    for record in reversed(ledger.of("making")):
        _, *task = record.number  # the round, then which task of it
        found = (shard for shard in record.outputs if shard.role == "fates")
        tasks.setdefault(tuple(task), []).extend(found)
    return list(tasks.values())[::-1]


def _fetched(store: Store, shards: Sequence[ShardInfo]) -> Iterator[Path]:
    """Those of them that are there."""
    for shard in shards:
        with suppress(FileNotFoundError):
            yield store.fetch(shard.path, shard.digest)


def _when(totals: Totals) -> str:
    """From the first task to the last; the time between runs is part of it."""
    if totals.started_at is None or totals.finished_at is None:
        return ""
    first, last = (datetime.fromtimestamp(t, UTC) for t in (totals.started_at, totals.finished_at))
    span = duration_text(totals.finished_at - totals.started_at)
    if first.date() == last.date():
        return f"{first:%-d %B %Y, %H:%M} to {last:%H:%M} UTC ({span})"
    return f"{first:%-d %B %Y, %H:%M} to {last:%-d %B %Y, %H:%M} UTC ({span})"


def _tiles(
    levels: Funnel, totals: Totals, config: RunConfig, shards: Sequence[ShardInfo]
) -> list[tuple[str, str, str]]:
    """The numbers that are asked for first: value, label, remark."""
    facts = totals.of("making").facts
    asked, kept = levels.count(levels.base), levels.count("kept")
    packed, stored_bytes = levels.count("packed"), sum(shard.size_bytes for shard in shards)
    received, requests = (
        (int(facts["bytes_in"]), int(facts["requests"])) if levels.asks else totals.annotations
    )
    last = (size_text(received), "received", f"{requests:,} requests")
    if config.parts:
        last = (f"{len(config.parts):,}", "parts", f"in {len(config.inputs):,} shards of their own")
    rows = "samples of the parts" if config.parts else "upstream rows"
    return [
        (
            share_text(kept, asked),
            f"kept of those {'asked for' if levels.asks else 'chosen'}",
            f"{kept:,} of {asked:,}",
        ),
        (f"{packed:,}", "samples in the shards", f"of {levels.count('annotated'):,} {rows}"),
        (
            size_text(stored_bytes),
            f"in {len(shards):,} shard{'s' if len(shards) != 1 else ''}",
            f"{size_text(stored_bytes / packed)} a sample" if packed else "",
        ),
        last,
    ]


def _losses(levels: Funnel, name: str) -> list[Losses]:
    dropped = levels.dropped(after_selection=True)
    chosen = levels.count("selected")
    found = []
    groups = grouped(dropped)
    for group in filter(groups.__contains__, _HEADINGS):
        reasons = groups[group]
        lengths = [100 * n / max(dropped.values()) for n in reasons.values()]
        again = all(map(may_heal, reasons))
        number = sum(reasons.values())
        found.append(
            Losses(
                tone=str(group),
                heading=_HEADINGS[group],
                advice=" ".join([ADVICE[group], "; ".join(with_options(name, reasons))]).rstrip(),
                total=number,
                share=share_text(number, chosen),
                bars=tuple(
                    Bar(label=reason, value=n, percent=max(length, 0.5), note=share_text(n, chosen))
                    for (reason, n), length in zip(reasons.items(), lengths, strict=True)
                ),
                command=retry_command(name, reasons) if again else "",
            )
        )
    return found


def _bars(items: Sequence[tuple[str, int]], whole: int) -> list[Bar]:
    lengths = widths([n for _, n in items])
    return [
        Bar(label=label, value=n, percent=length, note=share_text(n, whole))
        for (label, n), length in zip(items, lengths, strict=True)
    ]


def _hosts(totals: Totals) -> list[Bar]:
    ordered = sorted(totals.hosts.items(), key=lambda item: (-item[1], item[0]))
    return _bars(ordered[:_HOSTS], sum(totals.hosts.values()))


def _images(said: Documents | None) -> list[Bar]:
    return _bars(list(said.images.items()), said.image_count) if said else []


def _same_hosts(found: dict[str, Any]) -> list[Bar]:
    items = [(entry["host"], entry["media"]) for entry in found.get("hosts", ())]
    return _bars(items[:_HOSTS], found.get("media", 0))


def _statuses(measures: Measures) -> list[Bar]:
    ordered = sorted(measures.statuses.items(), key=lambda item: (-item[1], item[0] or 0))
    items = [("no answer" if status is None else str(status), n) for status, n in ordered[:_HOSTS]]
    return _bars(items, measures.media)


def _charts(measures: Measures, lengths: Histogram) -> list[Chart]:
    charts = []
    px = _median(measures.short_side_px, lambda v: f"{v:,.0f} px")
    size = _median(measures.stored_bytes, size_text)
    long = _median(measures.duration_s, lambda v: f"{v:,.1f} s")
    video = _median(measures.video_bytes, size_text)
    took = _median(measures.elapsed_s, lambda v: f"{v:.2f} s")
    for title, note, histogram, label in (
        ("Shorter side of the originals, in pixels", px, measures.short_side_px, lambda v: f"{v:g}"),
        ("Stored size of a picture, in kB", size, measures.stored_bytes, lambda v: f"{v / 1000:g}"),
        ("Length of a video as stored, in seconds", long, measures.duration_s, lambda v: f"{v:g}"),
        ("Frames a second of a video as stored", "", measures.fps, lambda v: f"{v:g}"),
        ("Stored size of a video, in MB", video, measures.video_bytes, lambda v: f"{v / 1e6:g}"),
        ("Time for one address, all tries, in seconds", took, measures.elapsed_s, lambda v: f"{v:g}"),
    ):
        if histogram.total:
            charts.append(_histogram(title, note, histogram, label))
    if lengths.total:
        median = _median(lengths, lambda v: f"{v:,.0f}")
        note = f"{median}; of {lengths.total:,} samples looked at"
        charts.append(_histogram("Text of a sample, in characters", note, lengths, lambda v: f"{v:g}"))
    distance = measures.phash_distance
    if distance.total:
        same = share_text(int(distance.counts[:4].sum()), distance.total)
        charts.append(
            _histogram(
                "Distance to the listed perceptual hash, in bits",
                f"{same} within 6 bits: the same picture; far to the right: probably another one",
                distance,
                lambda v: f"{v:g}",
            )
        )
    return charts


def _median(histogram: Histogram, said: Any) -> str:
    median = histogram.median()
    return "" if median is None else f"half are below {said(median)}"


def _histogram(title: str, note: str, histogram: Histogram, label: Any) -> Chart:
    shown = []
    for low, high, n in zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True):
        span = f"{label(low)} and more" if math.isinf(high) else f"{label(low)} to below {label(high)}"
        share = share_text(int(n), histogram.total)
        shown.append(BarColumn(values=((float(n), "good"),), title=f"{span}: {n:,} ({share})"))
    edges = histogram.edges[:-1]
    every = max(1, math.ceil(len(edges) / 7))
    ticks = tuple(label(edge) if i % every == 0 else "" for i, edge in enumerate(edges))
    heights = _heights(float(histogram.counts.max()))
    return Chart(title=title, note=note, svg=columns(shown, title), ticks=ticks, heights=heights)


def _heights(top: float, unit: str = "") -> tuple[str, str]:
    """The labels of a chart's whole height, and of half of it."""
    whole, half = (f"{v:,.1f}" if v < 10 and v != int(v) else f"{v:,.0f}" for v in (top, top / 2))
    return f"{whole}{unit}", f"{half}{unit}"


def _media_of(levels: Funnel, measures: Measures) -> str:
    """What is finished one by one, as the start of a heading."""
    if levels.asks:
        return "Addresses"
    return "Videos" if measures.duration_s.total else "Pictures"


def _rate(what: str, measures: Measures) -> Chart | None:
    rate = measures.rate
    if rate is None or not (rate.kept.sum() + rate.lost.sum()):
        return None
    scale = measures.files / max(measures.files_read, 1) / rate.interval_s
    shown = []
    for place, (kept, lost) in enumerate(zip(rate.kept, rate.lost, strict=True)):
        at = datetime.fromtimestamp(rate.start_s + place * rate.interval_s, UTC)
        per_s = (kept + lost) * scale
        title = (
            f"{at:%Y-%m-%d %H:%M:%S}: {per_s:,.1f} a second, {share_text(int(kept), int(kept + lost))} kept"
        )
        shown.append(BarColumn(values=((float(kept), "good"), (float(lost), "lost")), title=title))
    top = float((rate.kept + rate.lost).max() * scale)
    span = (len(shown) - 1) * rate.interval_s
    ticks = tuple(_tick(rate.start_s, span * part / 4, span) for part in range(5))
    fastest = f"{top:,.1f}" if top < 10 else f"{top:,.0f}"
    note = f"dark: kept, light: lost; at most {fastest} a second; each column is {duration_text(rate.interval_s)}"
    return Chart(
        title=f"{what} finished over time",
        note=note,
        svg=columns(shown, "rate over time"),
        ticks=ticks,
        heights=_heights(top, "/s"),
    )


def _tick(start_s: float, after_s: float, span_s: float) -> str:
    """The time of day, as fine as the span needs; of a very short run the seconds since its start."""
    at = datetime.fromtimestamp(start_s + after_s, UTC)
    if span_s < 20:
        return f"{after_s:.1f} s"
    return f"{at:%-d %b %H:%M}" if span_s > 86_400 else f"{at:%H:%M:%S}" if span_s < 600 else f"{at:%H:%M}"
