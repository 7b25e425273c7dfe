"""ChartQA: charts of four sites in three splits, one zip of 875 MB with a blank in its name.

Masry et al., 2022 (https://github.com/vis-nlp/ChartQA). A chart is ``ChartQA Dataset/train/png/123.png`` in the
zip; records name it ``train/png/123.png`` below the family's folder, which is the path here. The annotations that lie
beside the charts are passed over.
"""

from __future__ import annotations

from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION, family
from gristmill.spec.recipe import Source

__all__ = ["SOURCE"]

SOURCE = Source(
    key="chartqa",
    role="media",
    title="ChartQA charts",
    format="archives",
    hub=INTERNVL,
    revision=INTERNVL_REVISION,
    patterns=("data/chartqa*", "ChartQA Dataset.zip"),
    by_hand=(
        "Give --source chartqa=hf://datasets/ahmed-masry/ChartQA@main, or fetch ChartQA Dataset.zip from there, "
        "875 MB."
    ),
    layouts=family(
        r"(?:train|val|test)/png/[^/]+\.png",
        below="(?:ChartQA Dataset/)?",
        folder="chartqa",
        example="chartqa/train/png/1.png",
    ),
    license="gpl-3.0",
    access="open",
    terms="GPL-3.0 as its repository says; the charts are their sites'",
    address="https://huggingface.co/datasets/ahmed-masry/ChartQA",
    files=1,
    size_bytes=875_370_872,
)
