"""Workers on a Ray cluster of four nodes, all on this machine, against worker processes: the same URLs, in turns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.contestants import Outcome, gristmill, race
from bench.figure import Figure, Options, spread
from bench.paths import say
from bench.server import serving
from bench.urls import url_list

NODES = 4


def ray_cluster(files: Sequence[Path], options: Options) -> list[Figure]:
    """Images a second of both, at the defaults but for the number of workers; Ray is up before the clock starts."""
    urls = url_list(files, options.urls)
    local: list[Outcome] = []
    on_ray: list[Outcome] = []
    with serving(), _cluster() as address:
        there = replace(
            gristmill("--on", "ray", "--workers", str(NODES), name="gristmill --on ray"),
            env={"RAY_ADDRESS": address},
        )
        for number in range(options.rounds):
            say(f"ray: round {number + 1} of {options.rounds}, {options.urls:,} URLs")
            turns = [(local, gristmill()), (on_ray, there)]
            for outcomes, contestant in turns if number % 2 == 0 else reversed(turns):
                outcomes.append(race(contestant, urls))
    shares = [
        (there.kept / there.cost.wall_s) / (here.kept / here.cost.wall_s)
        for there, here in zip(on_ray, local, strict=True)
    ]
    return [
        Figure(
            name=f"images/s on {NODES} Ray nodes against processes",
            value=spread(shares),
            goal="at least 0.85",
        )
    ]


@contextmanager
def _cluster() -> Iterator[str]:
    """A head without processors and nodes of one each; gives the address."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=80 << 20)
        for _ in range(NODES):
            cluster.add_node(num_cpus=1, memory=1 << 30, object_store_memory=80 << 20, wait=True)
        yield cluster.address
    finally:
        cluster.shutdown()
