"""Find img2dataset's best process and thread counts and shard size: ``python -m bench.tune [--urls N]``.

Not part of ``make bench``: its result is a constant in ``contestants.py``, and the run is recorded in README.md.
"""

import argparse

from bench.contestants import img2dataset, race
from bench.corpus import corpus
from bench.paths import say
from bench.server import serving
from bench.urls import url_list

# Processes, threads, and shards for each process.
TRIALS = ((2, 16, 2), (2, 32, 2), (2, 64, 2), (2, 128, 2), (2, 64, 1), (2, 64, 4), (3, 64, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    files = corpus()
    urls = url_list(files, options.urls)
    with serving():
        for number in range(options.rounds):
            say(f"round {number + 1}")
            for processes, threads, shards in TRIALS:
                samples = -(-options.urls // (processes * shards))
                say(f" {processes} processes x {threads} threads, {samples:,} samples a shard")
                race(img2dataset(processes=processes, threads=threads, shard_samples=samples), urls)


if __name__ == "__main__":
    main()
