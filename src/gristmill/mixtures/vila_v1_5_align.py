"""VILA 1.5, the first stage: the projector is aligned on one dataset.

VILA's release scripts name it ``llava_1_5_mm_align`` (https://github.com/NVlabs/VILA at 143c773, scripts/v1_5/release
and llava/data/datasets_mixture.py). The three mixtures ``vila-v1.5-...`` are the stages of one training, and
``vila-v1.5`` stands for all of them.
"""

from __future__ import annotations

from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="vila_v1_5_align",
    version="2026.12.1",
    title="VILA 1.5, stage 1: align",
    description="What VILA 1.5 aligns its projector on: LLaVA's captions of 595,000 pictures of CC3M.",
    homepage="https://github.com/NVlabs/VILA",
    license="other",
    redistribution="nothing",
    stages=("align",),
    parts=(Part(name="llava-cc3m-595k"),),
    shuffle=Shuffle(seed=1, shard_samples=100_000, index_only=True),
    groups=("vila-v1.5",),
)
