"""VILA 1.5, the second stage: pretraining on pairs, on web pages and on long captions.

VILA's release scripts ask for ``coyo_25m+mmc4core+sharegpt4v_pretrain`` (https://github.com/NVlabs/VILA at 143c773,
scripts/v1_5/release). What is odd about that: the registry of the same commit knows the first as ``coyo``, so that a
straight run stops there. Each dataset is taken once; VILA's loader deals all of it out per epoch.
"""

from __future__ import annotations

from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="vila_v1_5_pretrain",
    version="2026.12.1",
    title="VILA 1.5, stage 2: pretrain",
    description="What VILA 1.5 is pretrained on: pairs of COYO, web pages of MMC4-core, captions of ShareGPT4V.",
    homepage="https://github.com/NVlabs/VILA",
    license="other",
    redistribution="nothing",
    stages=("pretrain",),
    parts=(
        Part(name="coyo-700m"),
        Part(name="mmc4-core"),
        Part(name="sharegpt4v-pretrain"),
    ),
    shuffle=Shuffle(seed=1, shard_samples=100_000, index_only=True),
    traps=(
        "VILA trained on MMC4-core with faces, which was withdrawn in February 2025. The part mmc4-core reads what "
        "the hub still has, the fewer-faces split, some three quarters of it. Who has the withdrawn files: "
        "--source mmc4-core.annotations=FOLDER.",
        "The release scripts name coyo_25m, the registry of the same commit knows coyo: a straight run stops there.",
    ),
    groups=("vila-v1.5",),
)
