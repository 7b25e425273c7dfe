"""SynthDoG-EN as InternVL has it: 29,765 drawn pages of English text, to be read out.

Kim et al., 2022 (https://arxiv.org/abs/2111.15664); ``synthdog_en.jsonl``, 15.8 MB. Pages are ``images/...`` below
the folder ``synthdog-en``, the first five of the original's Parquet files. What is odd about it: the text on a page
is a piece of an encyclopedia that begins and ends anywhere, so that answers are cut within a sentence, as the page
is.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import below, llava_next

RECIPE = llava_next(
    "synthdog_en",
    file="synthdog_en.jsonl",
    size_bytes=15_800_000,
    rows=29_765,
    parse=below("synthdog", "images/", "synthdog-en/images/"),
    media=("synthdog",),
    title="SynthDoG-EN",
    description="Pages that a program drew, with the English text that stands on them.",
    citation=(
        "@inproceedings{kim2022donut, title={{OCR}-Free Document Understanding Transformer}, author={Kim, Geewook "
        "and Hong, Teakgyu and Yim, Moonbin and Nam, JeongYeon and Park, Jinyoung and Yim, Jinyeong and Hwang, "
        "Wonseok and Yun, Sangdoo and Han, Dongyoon and Park, Seunghyun}, booktitle={ECCV}, year={2022}}"
    ),
    traps=(
        "Texts begin and end within sentences, as the pages do: answer_cut_off and answer_repeats are no faults "
        "here and are kept.",
        "The zip of the pages lies in a repository of models and has no published checksum: it is known by its "
        "size.",
    ),
    stored_bytes=78_000,
    keep=("answer_repeats",),
)
