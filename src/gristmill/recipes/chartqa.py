"""ChartQA as InternVL has it: 18,317 charts, one record each, with several questions and answers about it.

Masry et al., 2022 (https://arxiv.org/abs/2203.10244); ``chartqa_train_18k.jsonl``, 8.77 MB. Charts are those of the
training split, ``train/png/123.png`` below the folder ``chartqa``; names begin with ``two_col_`` or ``multi_col_``
or are numbers. What is odd about it: in the original files answers are sometimes lists in brackets, fractions for
percents or a spreadsheet's number for a date, and such answers may have come over.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import below, llava_next

RECIPE = llava_next(
    "chartqa",
    file="chartqa_train_18k.jsonl",
    size_bytes=8_770_000,
    rows=18_317,
    parse=below("chartqa", "", "chartqa/"),
    media=("chartqa",),
    title="ChartQA, training charts",
    description="Charts of four sites with questions that people and programs wrote about them.",
    citation=(
        "@inproceedings{masry2022chartqa, title={{ChartQA}: A Benchmark for Question Answering about Charts with "
        "Visual and Logical Reasoning}, author={Masry, Ahmed and Long, Do Xuan and Tan, Jia Qing and Joty, Shafiq "
        "and Hoque, Enamul}, booktitle={Findings of ACL}, year={2022}}"
    ),
    traps=(
        "Some answers are as a spreadsheet has them: [4, 9], 0.34 for 34 %, 44538 for a date.",
        'Whoever unpacks the zip of ChartQA\'s authors has a folder "ChartQA Dataset" on top, with a blank in its '
        "name; it is read with and without.",
    ),
)
