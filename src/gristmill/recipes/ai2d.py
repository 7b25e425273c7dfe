"""AI2D as InternVL has it: 12,413 records about diagrams of school science, with choices to choose from.

Kembhavi et al., 2016 (https://arxiv.org/abs/1603.07396); ``ai2d_train_12k.jsonl``, 3.74 MB. Diagrams are
``images/1.png`` and ``abc_images/1.png`` below the folder ``ai2d``: in the second folder letters stand where the
first has words, and questions speak of the letters. What is odd about it: AI2D's own archive has no ``abc_images``,
so only an archive that others pass on has all pictures; and a question that speaks of letters makes no sense with
the diagram of the first folder.
"""

from __future__ import annotations

from gristmill.recipes._llava_next import below, llava_next

RECIPE = llava_next(
    "ai2d",
    file="ai2d_train_12k.jsonl",
    size_bytes=3_740_000,
    rows=12_413,
    parse=below("ai2d", "", "ai2d/"),
    media=("ai2d",),
    title="AI2D, training questions",
    description="Diagrams of school science with questions and choices.",
    citation=(
        "@inproceedings{kembhavi2016diagram, title={A Diagram is Worth a Dozen Images}, author={Kembhavi, "
        "Aniruddha and Salvato, Mike and Kolve, Eric and Seo, Minjoon and Hajishirzi, Hannaneh and Farhadi, Ali}, "
        "booktitle={ECCV}, year={2016}}"
    ),
    traps=(
        "AI2D's own zip lacks the folder abc_images: its pictures are in InternVL's repository, or in the archive "
        "that InternLM-XComposer passes on.",
        "The benchmark of the same name is its test split: do not train on that and report it.",
    ),
)
