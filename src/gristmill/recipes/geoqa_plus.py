"""GeoQA+ as InternVL has it: 72,318 geometry problems with their figures, asked in several wordings.

Cao and Xiao, 2022 (https://github.com/SCNU203/GeoQA-Plus); ``geoqa+.jsonl``, 26 MB. Figures are ``images/1.png``
below the folder ``geoqa+``. VILA's registry calls it ``geoqa``, for a plus in a dataset's name means a mixture
there. What is odd about it: the plus, which an address must write as ``%2B``; and the figures are few and small, so
each is in many records.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import below, llava_next

RECIPE = llava_next(
    "geoqa_plus",
    file="geoqa+.jsonl",
    size_bytes=26_000_000,
    rows=72_318,
    parse=below("geoqa", "images/", "geoqa+/images/"),
    media=("geoqa",),
    title="GeoQA+",
    description="Geometry problems with their figures, choices and answers.",
    citation=(
        "@inproceedings{cao2022augmented, title={An Augmented Benchmark Dataset for Geometric Question Answering "
        "through Dual Parallel Text Encoding}, author={Cao, Jie and Xiao, Jing}, booktitle={COLING}, year={2022}}"
    ),
    traps=(
        "The zip of the figures has a plus in its name: in an address it is geoqa%2B_images.zip.",
        "The same figure is in many records: whoever drops the same picture drops most of the dataset.",
    ),
)
