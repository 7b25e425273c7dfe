"""DVQA as InternVL has it: 200,000 drawn bar charts, one record each, with many questions and answers about it.

Kafle et al., 2018 (https://github.com/kushalkafle/DVQA_dataset); ``dvqa_train_200k.jsonl``, 416 MB. Charts are those
of the training split, ``images/bar_train_00000001.png`` below the folder ``dvqa``. What is odd about it: a record
has some 2,000 characters of short questions and answers, so a trainer's limit of length cuts many of them.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import below, llava_next

RECIPE = llava_next(
    "dvqa",
    file="dvqa_train_200k.jsonl",
    size_bytes=416_000_000,
    rows=200_000,
    parse=below("dvqa", "images/", "dvqa/images/"),
    media=("dvqa",),
    title="DVQA, 200,000 training charts",
    description="Bar charts that were drawn by a program, with questions about what they show.",
    citation=(
        "@inproceedings{kafle2018dvqa, title={{DVQA}: Understanding Data Visualizations via Question Answering}, "
        "author={Kafle, Kushal and Price, Brian and Cohen, Scott and Kanan, Christopher}, booktitle={CVPR}, "
        "year={2018}}"
    ),
    traps=(
        "A record has many rounds, some 2,000 characters: a trainer with a short limit cuts most of them off.",
        "The charts are some 6.5 GB when unpacked, in InternVL's repository or by hand from its authors' Drive.",
    ),
    stored_bytes=22_000,
)
