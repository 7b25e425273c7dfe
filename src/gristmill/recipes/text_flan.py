"""TextFLAN: a million of the 378 million instructions of the FLAN collection, text only.

The collection FLAN v2 as Open-Orca publishes it (2023, CC-BY-4.0): fourteen folders of Parquet files, 296 GiB, beside
six JSON files of 70 GB that are not part of it. VILA reads all of it into memory, in the order of the names as text
(``part.10`` before ``part.2``), and takes 1,000,000 rows at even distances
(https://github.com/NVlabs/VILA, data_prepare/sft). What is odd about it: VILA's indices are 32-bit floats, which
above 2**24 rows name every 32nd row at best; a literal ``<image>`` in an answer becomes a picture that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, Outcome, Sample, Text, Turn
from gristmill.steps.hygiene import TextHygiene
from gristmill.steps.pack import Pack
from gristmill.steps.sample import POSITION, SampleRows

COLUMNS = ("inputs", "targets")


def parse(row: Mapping[str, Json]) -> Outcome:
    """One instruction and its answer; the key is the row's position in the sample, as in VILA's ids."""
    question, answer = (row.get(name) for name in COLUMNS)
    if not isinstance(question, str) or not isinstance(answer, str):
        return Drop(reason=Reason.BAD_ROW, detail="inputs or targets is not text")
    position = row.get(POSITION)
    return Sample(
        key=f"text_flan_{position:08d}" if isinstance(position, int) else "",
        turns=(
            Turn(role="user", parts=(Text(text=question),)),
            Turn(role="assistant", parts=(Text(text=answer),)),
        ),
    )


RECIPE = Recipe(
    name="text_flan",
    version="2026.11.1",
    title="TextFLAN",
    description="Instructions of the FLAN collection: 1,000,000 of 378 million rows at even distances, text only.",
    homepage="https://huggingface.co/datasets/Open-Orca/FLAN",
    license="cc-by-4.0",
    citation=(
        "@article{longpre2023flan, title={The Flan Collection: Designing Data and Methods for Effective Instruction "
        "Tuning}, author={Longpre, Shayne and Hou, Le and Vu, Tu and Webson, Albert and Chung, Hyung Won and Tay, "
        "Yi and Zhou, Denny and Le, Quoc V and Zoph, Barret and Wei, Jason and others}, "
        "journal={arXiv preprint arXiv:2301.13688}, year={2023}}"
    ),
    redistribution="media",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub="Open-Orca/FLAN",
            revision="6845b1b3b53c",
            patterns=("*_data/*.parquet",),
            format="parquet",
            license="cc-by-4.0",
            access="open",
            files=2_100,  # about: 296 GiB in files of 133 to 160 MB
            size_bytes=317_800_000_000,
            rows=377_759_274,
        ),
    ),
    parse=parse,
    writes=frozenset({"turns"}),
    published_as="text_flan_1m",
    steps=(SampleRows(columns=COLUMNS), TextHygiene(), Pack(shard_samples=10_000)),
    expect=Expect(
        kept_share=0.95,
        selected_share=1_000_000 / 377_759_274,
        media_per_row=0,
        stored_bytes=4_000,
        remark="Nearly every file holds chosen rows, so nearly all of it is read. A fetched file is removed then.",
    ),
    traps=(
        "VILA's indices are 32-bit floats. --set sample.spacing=published takes the same rows; the default takes "
        "exact distances, which are up to 16 rows away from them.",
        "The order is that of the names as text: part.0, part.1, part.10, part.100. Another order takes other rows.",
        "Literal <image> and <video> become <IMAGE> and <VIDEO>: a loader takes them for pictures. They are counted.",
        "The JSON files at the repository's top are subsets for OpenOrca and are not read.",
    ),
)
