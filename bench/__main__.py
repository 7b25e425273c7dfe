"""``python -m bench``: run the benchmarks, write a result file, print a table."""

import argparse
import compileall
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata

from bench.corpus import corpus, describe
from bench.figure import Figure, Options
from bench.figures import BENCHMARKS, QUICK
from bench.paths import REPO, RESULTS, say

PACKAGES_SAID = (
    "gristmill",
    "aiohttp",
    "opencv-python-headless",
    "pillow",
    "pyarrow",
    "simplejpeg",
    "uvloop",
)


def main() -> int:
    names, options = _arguments()
    # As an installer leaves it: no process has to compile what it imports.
    compileall.compile_dir(REPO / "src" / "gristmill", quiet=2)
    started = time.strftime("%Y-%m-%dT%H-%M-%S")
    needs_corpus = bool(
        {"crawl", "share", "https", "memory", "codec", "documents", "ray", "store"} & set(names)
    )
    files = corpus() if needs_corpus else ()
    figures: dict[str, list[Figure]] = {}
    failed = {}
    for name in names:
        try:
            figures[name] = BENCHMARKS[name](files, options)
        except (RuntimeError, ImportError, OSError) as error:
            # The others still run, and what could not be measured is said, not left out.
            failed[name] = f"{type(error).__name__}: {error}"
            say(f"{name}: not measured: {failed[name]}")
    result = {
        "started": started,
        "machine": _machine(),
        "options": asdict(options),
        "corpus": describe(files) if needs_corpus else None,
        "figures": {name: [asdict(figure) for figure in some] for name, some in figures.items()},
        "not_measured": failed,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{started}.json"
    path.write_text(json.dumps(result, indent=1))
    print(_table(figures, failed))
    say(f"written: {path}")
    return 1 if failed else 0


def _arguments() -> tuple[list[str], Options]:
    plain = Options()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        default=",".join(QUICK),
        help=f"which of {', '.join(BENCHMARKS)}, separated by commas, or all (default: %(default)s)",
    )
    parser.add_argument(
        "--urls", type=int, default=plain.urls, help="URLs of each race (default: %(default)s)"
    )
    parser.add_argument(
        "--https-urls",
        type=int,
        default=plain.https_urls,
        help="the same over HTTPS (default: %(default)s)",
    )
    parser.add_argument(
        "--share-urls",
        type=_counts,
        default=plain.share_urls,
        help="URLs of the runs between the limit's halves, separated by commas",
    )
    parser.add_argument(
        "--rounds", type=int, default=plain.rounds, help="races of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--long", type=_counts, default=plain.growth_urls, help="URLs of the long runs of ours"
    )
    parser.add_argument(
        "--script-long", type=_counts, default=plain.script_urls, help="the same for the script"
    )
    parser.add_argument(
        "--flan-files", type=int, default=plain.flan_files, help="files of the FLAN-like sets"
    )
    parser.add_argument(
        "--flan-growth", type=_counts, default=plain.flan_growth, help="files of the runs of ours as it grows"
    )
    parser.add_argument(
        "--flan-baseline-growth", type=_counts, default=plain.flan_baseline_growth, help="the same for pandas"
    )
    given = parser.parse_args()
    names = list(BENCHMARKS) if given.only == "all" else given.only.split(",")
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    options = Options(
        urls=given.urls,
        https_urls=given.https_urls,
        share_urls=given.share_urls,
        rounds=given.rounds,
        growth_urls=given.long,
        script_urls=given.script_long,
        flan_files=given.flan_files,
        flan_growth=given.flan_growth,
        flan_baseline_growth=given.flan_baseline_growth,
    )
    return names, options


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES_SAID},
    }


def _table(figures: dict[str, Sequence[Figure]] | dict[str, list[Figure]], failed: dict[str, str]) -> str:
    lines = ["| figure | measured | goal |", "|---|---|---|"]
    lines += [f"| {f.name} | {f.value} | {f.goal} |" for some in figures.values() for f in some]
    lines += [f"| {name} | not measured: {why.splitlines()[0]} | |" for name, why in failed.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
