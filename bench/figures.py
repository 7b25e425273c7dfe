"""The sub-benchmarks: each runs its contestants and returns rows of the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.archives import archives
from bench.bad_web import bad_web
from bench.contestants import Contestant, Outcome, gristmill, img2dataset, limit_s, race, script
from bench.decontaminate import decontaminate
from bench.documents import documents
from bench.embedded import embedded
from bench.exports import exports
from bench.figure import Figure, Options, spread
from bench.frames import frames
from bench.measure import Measurement
from bench.object_store import object_store
from bench.paths import say
from bench.ray_cluster import ray_cluster
from bench.server import Trust, client_environment, serving
from bench.shuffle import shuffle as shuffled
from bench.urls import Scheme, url_list
from bench.video import video

SHORT_RUNS = 3  # of what takes seconds, and so is felt most by whatever else the machine does


def crawl(files: Sequence[Path], options: Options) -> list[Figure]:
    """Plain HTTP with connections kept alive: ours, (a) and (b), in turns."""
    urls = url_list(files, options.urls)
    contestants = (gristmill(), img2dataset(), script())
    rounds: list[dict[str, Outcome]] = []
    with serving():
        _warm_up(files)
        for number in range(options.rounds):
            say(f"crawl: round {number + 1} of {options.rounds}, {options.urls:,} URLs")
            rounds.append({c.name: race(c, urls) for c in _rotated(contestants, number)})
    a = _ratios(rounds, "img2dataset", _speed)
    b = _ratios(rounds, "script", _speed)
    cpu = [r["gristmill"].cpu_s_per_1000 / r["script"].cpu_s_per_1000 for r in rounds]
    raw = {"rounds": [_raw(r) for r in rounds]}
    return [
        *(_absolute(rounds, c.name) for c in contestants),
        Figure(
            name="images/s against img2dataset (a), plain HTTP", value=spread(a), goal="at least 2", raw=raw
        ),
        Figure(name="images/s against the script (b)", value=spread(b), goal="at least 3.5"),
        Figure(name="CPU seconds against the script (b)", value=spread(cpu), goal="at most 0.5"),
    ]


def share(files: Sequence[Path], options: Options) -> list[Figure]:
    """Ours between the two halves of the limit, so that the machine's drift falls on both alike."""
    return [figure for count in options.share_urls for figure in _share(files, count, options.rounds)]


def _share(files: Sequence[Path], count: int, rounds: int) -> list[Figure]:
    urls, half = url_list(files, count), url_list(files, count // 2)
    shares, limits, outcomes = [], [], []
    with serving():
        _warm_up(files)
        for number in range(rounds):
            say(f"share of the limit: round {number + 1} of {rounds}, {count:,} URLs")
            before = _limit(half)
            outcome = race(gristmill(), urls)
            after = _limit(half)
            rate = 2 * (count // 2) / sum((*before.values(), *after.values()))
            say(f"  limit: {rate:.0f} images/s; share {outcome.images_per_s / rate:.1%}")
            shares.append(outcome.images_per_s / rate)
            limits.append({"images_per_s": rate, "before_s": before, "after_s": after})
            outcomes.append(outcome)
    return [
        Figure(
            name=f"share of the limit (c), {count:,} URLs",
            value=spread(shares, "{:.0%}"),
            goal="at least 85 %",
            raw={"limits": limits, "ours": [asdict(outcome) for outcome in outcomes]},
        )
    ]


def _limit(urls: Path, env: Mapping[str, str] | None = None) -> dict[str, float]:
    """Wall seconds of both halves of the limit."""
    parts_s = {job: limit_s(job, urls, env) for job in ("codec", "fetch")}
    say("  limit: " + ", ".join(f"{job} {wall_s:.1f} s" for job, wall_s in parts_s.items()))
    return parts_s


def _warm_up(files: Sequence[Path], scheme: Scheme = "http", env: Mapping[str, str] | None = None) -> None:
    """A run that does not count: the first after a pause is up to a tenth slower, whoever's it is.

    It asks for every file once, so that none has to come from the disk later.
    """
    race(gristmill(), url_list(files, len(files), scheme), env=env)


def _rotated(contestants: Sequence[Contestant], number: int) -> Sequence[Contestant]:
    """Another one begins each round."""
    first = number % len(contestants)
    return [*contestants[first:], *contestants[:first]]


def https(files: Sequence[Path], options: Options) -> list[Figure]:
    """HTTPS, verified: ours and (a), in turns; a new connection for each URL, then hosts that keep connections."""
    figures = []
    kinds: tuple[tuple[Scheme, Trust, str], ...] = (
        ("https", "authority", "a connection per URL, one trusted root"),
        ("https", "bundle", "a connection per URL, the system's trusted roots"),
        ("https-kept", "authority", "250 hosts that keep connections, one trusted root"),
    )
    for scheme, trust, words in kinds:
        urls = url_list(files, options.https_urls, scheme)
        with serving():
            env = client_environment(trust)
            _warm_up(files, scheme, env)
            rounds, limits = [], []
            for number in range(options.rounds):
                say(f"https ({words}): round {number + 1} of {options.rounds}, {options.https_urls:,} URLs")
                contestants = _rotated((gristmill(), img2dataset()), number)
                rounds.append({c.name: race(c, urls, env=env) for c in contestants})
                limits.append(options.https_urls / sum(_limit(urls, env).values()))
        of_limit = [rate / r["img2dataset"].images_per_s for rate, r in zip(limits, rounds, strict=True)]
        figures += [
            *(_absolute(rounds, name, f", HTTPS, {words}") for name in ("gristmill", "img2dataset")),
            Figure(
                name=f"images/s against img2dataset (a), HTTPS, {words}",
                value=spread(_ratios(rounds, "img2dataset", _speed)),
                goal="at least 2.5",
                raw={"rounds": [_raw(r) for r in rounds], "limits_images_per_s": limits},
            ),
            Figure(name=f"the limit (c) against (a), HTTPS, {words}", value=spread(of_limit)),
        ]
    return figures


def memory(files: Sequence[Path], options: Options) -> list[Figure]:
    """Peak memory over the length of the list, ours and (b)'s, and what an image costs as the list grows."""
    figures = []
    with serving():
        for count in options.growth_urls:
            figures += _growth(files, gristmill(), count, "under 700 MB, flat")
        for count in options.script_urls:
            figures += _growth(files, script(), count, "")
    return figures


def select(_files: Sequence[Path], options: Options) -> list[Figure]:
    from bench.select_rows import ROWS
    from bench.select_rows import select as run

    costs = [run() for _ in range(max(options.rounds, SHORT_RUNS))]
    wall_s = statistics.median(cost.wall_s for cost in costs)
    rss_gb = max(cost.peak_rss_bytes for cost in costs) / 1e9
    return [
        Figure(
            name=f"select over {ROWS:,} rows",
            value=f"{wall_s:.1f} s, {rss_gb:.2f} GB",
            goal="under 5 s and 1.5 GB",
            raw={"runs": [asdict(cost) for cost in costs]},
        )
    ]


def plan(_files: Sequence[Path], options: Options) -> list[Figure]:
    from bench.planning import RECORDS, planning

    runs = [planning() for _ in range(max(options.rounds, SHORT_RUNS))]
    return [
        Figure(
            name=f"{what} with {RECORDS:,} task records",
            value=f"{statistics.median(run[what].wall_s for run in runs):.1f} s, "
            f"{max(run[what].peak_rss_bytes for run in runs) / 1e6:.0f} MB",
            goal="under 3 s",
            raw={"runs": [asdict(run[what]) for run in runs]},
        )
        for what in ("status", "planning")
    ]


def machines(_files: Sequence[Path], _options: Options) -> list[Figure]:
    from bench.machines import machines as run
    from bench.many_records import many_records

    return [*run(), *many_records()]


def check(_files: Sequence[Path], options: Options) -> list[Figure]:
    from bench.check_records import PICTURES, RECORDS, check_records

    runs = [check_records() for _ in range(options.rounds)]
    raw = {"runs": [{name: asdict(cost) for name, cost in run.items()} for run in runs]}
    ratios = [run["pillow"].wall_s / run["pictures"].wall_s for run in runs]
    return [
        Figure(
            name=f"check of {RECORDS:,} records without media",
            value=f"{spread([run['records'].wall_s for run in runs], '{:.1f}')} s, "
            f"{max(run['records'].peak_rss_bytes for run in runs) / 1e6:.0f} MB",
            goal="under 60 s and 1 GB",
            raw=raw,
        ),
        Figure(
            name=f"check of {PICTURES:,} pictures against a loop of Pillow",
            value=spread(ratios),
            goal="at least 4",
        ),
    ]


def codec(files: Sequence[Path], _options: Options) -> list[Figure]:
    from bench.codec import codec as run

    results = run(files)
    return [
        Figure(
            name=f"resize: {way}",
            value=f"PSNR {r['psnr_db']:.1f} dB, worst twentieth {r['psnr_worst_db']:.1f} dB; "
            f"{r['ms']:.1f} ms, {r['script_ratio']:.2f} times the script's speed",
            raw=dict(r),
        )
        for way, r in results.items()
    ]


def flan(_files: Sequence[Path], options: Options) -> list[Figure]:
    """Sampling 13,000 rows of FLAN-like sets, against the published way, in turns; and memory as the set grows."""
    from bench.flan import CODECS, ROWS_A_FILE, SAMPLE, baseline, flan_set, ours

    rows, figures = options.flan_files * ROWS_A_FILE, []
    size = SAMPLE * options.flan_files // Options().flan_files
    for codec_name in CODECS:
        folder = flan_set(codec_name, options.flan_files)
        runs = []
        for number in range(options.rounds):
            say(f"flan: {codec_name}, round {number + 1} of {options.rounds}, {rows:,} rows")
            runs.append(
                {
                    "rows": ours(folder, size, to_step="sample"),
                    "shards": ours(folder, size),
                    "baseline": baseline(folder, size),
                }
            )
        for way, words in (("rows", "to the chosen rows"), ("shards", "to finished shards")):
            ratios = [run["baseline"].wall_s / run[way].wall_s for run in runs]
            seconds = [run[way].wall_s for run in runs]
            figures.append(
                Figure(
                    name=f"sampling {size:,} of {rows:,} rows, {codec_name}, {words}: times faster than pandas; s",
                    value=f"{spread(ratios)}; {spread(seconds, '{:.1f}')}",
                    goal="at least 6" if way == "rows" else "",
                    raw={"runs": [{name: asdict(cost) for name, cost in run.items()} for run in runs]},
                )
            )
    return figures + _flan_growth(options)


def _flan_growth(options: Options) -> list[Figure]:
    from bench.flan import ROWS_A_FILE, SAMPLE, baseline, flan_set, ours

    contestants = (("gristmill", ours, options.flan_growth, "under 600 MB, flat"),)
    contestants += (("pandas", baseline, options.flan_baseline_growth, ""),)
    figures = []
    for name, contestant, sizes, goal in contestants:
        for files in sizes:
            say(f"flan: {name}, {files * ROWS_A_FILE:,} rows")
            cost = contestant(flan_set("zstd", files), SAMPLE)
            figures.append(
                Figure(
                    name=f"{name}, sampling 13,000 of {files * ROWS_A_FILE:,} rows: peak RSS (PSS) of the tree; wall",
                    value=f"{_memory_said(cost)}; {cost.wall_s:.1f} s",
                    goal=goal,
                    raw=asdict(cost),
                )
            )
    return figures


def _memory_said(cost: Measurement) -> str:
    return f"{cost.peak_rss_bytes / 1e6:.0f} ({cost.peak_pss_bytes / 1e6:.0f}) MB"


def shuffle(_files: Sequence[Path], options: Options) -> list[Figure]:
    return shuffled(options.rounds)


def mixtures(_files: Sequence[Path], _options: Options) -> list[Figure]:
    from bench.mixtures import mixtures

    return mixtures()


BENCHMARKS: dict[str, Callable[[Sequence[Path], Options], list[Figure]]] = {
    "crawl": crawl,
    "share": share,
    "https": https,
    "memory": memory,
    "select": select,
    "plan": plan,
    "check": check,
    "codec": codec,
    "documents": documents,
    "embedded": embedded,
    "archives": archives,
    "frames": frames,
    "decontaminate": decontaminate,
    "exports": exports,
    "flan": flan,
    "shuffle": shuffle,
    "mixtures": mixtures,
    "video": video,
    "bad_web": bad_web,
    "machines": machines,
    "ray": ray_cluster,
    "store": object_store,
}
QUICK = ("crawl", "share", "https", "codec", "select", "plan")
"""Measured unless something else is asked for: about a quarter of an hour."""


def _growth(files: Sequence[Path], contestant: Contestant, count: int, goal: str) -> list[Figure]:
    say(f"memory: {contestant.name}, {count:,} URLs")
    outcome = race(contestant, url_list(files, count))
    return [
        Figure(
            name=f"{contestant.name}, {count:,} URLs: peak RSS (PSS) of the tree; CPU s per 1,000",
            value=f"{outcome.cost.peak_rss_bytes / 1e6:.0f} ({outcome.cost.peak_pss_bytes / 1e6:.0f}) MB; "
            f"{outcome.cpu_s_per_1000:.2f}",
            goal=goal,
            raw=asdict(outcome),
        )
    ]


def _speed(outcome: Outcome) -> float:
    return outcome.images_per_s


def _ratios(
    rounds: Sequence[dict[str, Outcome]], baseline: str, measure: Callable[[Outcome], float]
) -> list[float]:
    """Ours over the baseline's, round by round: the machine's drift falls out."""
    return [measure(r["gristmill"]) / measure(r[baseline]) for r in rounds]


def _absolute(rounds: Sequence[dict[str, Outcome]], name: str, where: str = "") -> Figure:
    runs = [r[name] for r in rounds]
    return Figure(
        name=f"{name}{where}: images/s; CPU s per 1,000; peak RSS (PSS)",
        value=f"{spread([run.images_per_s for run in runs], '{:.0f}')}; "
        f"{statistics.median(run.cpu_s_per_1000 for run in runs):.1f}; "
        f"{max(run.cost.peak_rss_bytes for run in runs) / 1e6:.0f} "
        f"({max(run.cost.peak_pss_bytes for run in runs) / 1e6:.0f}) MB",
    )


def _raw(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    return {name: asdict(outcome) for name, outcome in outcomes.items()}
