"""DocVQA as InternVL has it: 10,211 records about scanned pages of documents, with what is written on them.

Mathew et al., 2021 (https://arxiv.org/abs/2007.00398); ``docvqa_train_10k.jsonl``, 13.9 MB. Pages are
``train/documents/ffbf0023_4.png`` below the folder ``docvqa``. What is odd about it: a few pages occur in two
records; pages are large pictures of small print; and the portal that has them wants a registration.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import below, llava_next

RECIPE = llava_next(
    "docvqa",
    file="docvqa_train_10k.jsonl",
    size_bytes=13_900_000,
    rows=10_211,
    parse=below("docvqa", "", "docvqa/"),
    media=("docvqa",),
    title="DocVQA, training pages",
    description="Scanned pages of documents with questions about what is written on them.",
    citation=(
        "@inproceedings{mathew2021docvqa, title={{DocVQA}: A Dataset for {VQA} on Document Images}, "
        "author={Mathew, Minesh and Karatzas, Dimosthenis and Jawahar, C. V.}, booktitle={WACV}, year={2021}}"
    ),
    traps=(
        "Some 17 pages occur twice, with other questions: whoever drops the same picture loses questions.",
        "The portal's certificates are said not to verify, and other guides switch the check off. Here it stays "
        "on: what InternVL's repository does not have is fetched by hand.",
    ),
)
