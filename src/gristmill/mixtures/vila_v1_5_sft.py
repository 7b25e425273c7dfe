"""VILA 1.5, the third stage: instruction tuning on nineteen datasets, five of them of videos.

The order is that of VILA's registry (https://github.com/NVlabs/VILA at 143c773, llava/data/datasets_mixture.py,
scripts/v1_5/release; the same list stands at its head as ``vila-v1.5-sft``). Each dataset is taken once. What is odd
about it: ``llava_v1_5_mix665k.json``, which the page on data preparation says to fetch, is in none of the release's
mixtures; its conversations come with ``sharegpt4v_mix738k``.
"""

from __future__ import annotations

from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="vila_v1_5_sft",
    version="2026.12.1",
    title="VILA 1.5, stage 3: sft",
    description="What VILA 1.5 is tuned on: conversations about pictures and videos, and text alone.",
    homepage="https://github.com/NVlabs/VILA",
    license="other",
    redistribution="nothing",
    stages=("sft",),
    parts=(
        Part(name="sharegpt4v-cap100k"),
        Part(name="llava-instruct-150k-zh"),
        Part(name="sharegpt4v-mix738k"),
        Part(name="dvqa"),
        Part(name="chartqa"),
        Part(name="ai2d"),
        Part(name="docvqa"),
        Part(name="geoqa-plus"),
        Part(name="synthdog-en"),
        Part(name="vflan"),
        Part(name="scienceqa"),
        Part(name="sherlock"),
        Part(name="gsm8k-screl"),
        Part(name="wit"),
        Part(name="youcook2"),
        Part(name="vatex"),
        Part(name="video-chatgpt"),
        Part(name="shot2story"),
        Part(name="sharegpt-video"),
    ),
    shuffle=Shuffle(seed=1, shard_samples=100_000, index_only=True),
    traps=(
        "llava-v1.5-mix665k is in no mixture of this release: its conversations come with sharegpt4v-mix738k.",
        "VILA registers gsm8k-screl as math, and reads it like vflan.",
        "youcook2 as VILA filtered it seems to hold segments of the validation split: a benchmark on that is spoilt.",
    ),
    groups=("vila-v1.5",),
)
