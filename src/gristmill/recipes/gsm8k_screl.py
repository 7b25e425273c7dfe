"""GSM8K-ScRel: 7,473 grade-school mathematics problems with worked answers, text only.

The training split of GSM8K (OpenAI, 2021, MIT) as the repository OFA-Sys/gsm8k-ScRel publishes it: JSON Lines of
``query`` and ``response``. VILA reads it with the loader of its instruction mixture, as ``math``; how it was brought
into that form is not published. What is odd about it: 7,378 of the answers hold calculator marks,
``48/2 = <<48/2=24>>24``, which GSM8K's own evaluation code removes or evaluates; they are kept unless asked
otherwise. Every answer ends in ``#### `` and the number.
"""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source
from gristmill.spec.sample import Drop, Json, Outcome, Sample, Text, Turn
from gristmill.steps.hygiene import TextHygiene
from gristmill.steps.marks import CalculatorMarks
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


def parse(row: Mapping[str, Json]) -> Outcome:
    """One problem and its worked answer."""
    query, response = row.get("query"), row.get("response")
    if not isinstance(query, str) or not isinstance(response, str):
        return Drop(reason=Reason.BAD_ROW, detail="query or response is not text")
    return Sample(
        key="",
        turns=(
            Turn(role="user", parts=(Text(text=query),)),
            Turn(role="assistant", parts=(Text(text=response),)),
        ),
    )


RECIPE = Recipe(
    name="gsm8k_screl",
    version="2026.11.1",
    title="GSM8K-ScRel",
    description="Grade-school mathematics problems with worked answers: the training split of GSM8K, text only.",
    homepage="https://github.com/OFA-Sys/gsm8k-ScRel",
    license="mit",
    citation=(
        "@article{cobbe2021gsm8k, title={Training Verifiers to Solve Math Word Problems}, author={Cobbe, Karl and "
        "Kosaraju, Vineet and Bavarian, Mohammad and Chen, Mark and Jun, Heewoo and Kaiser, Lukasz and Plappert, "
        "Matthias and Tworek, Jerry and Hilton, Jacob and Nakano, Reiichiro and Hesse, Christopher and Schulman, "
        "John}, journal={arXiv preprint arXiv:2110.14168}, year={2021}}"
    ),
    redistribution="media",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            url="https://raw.githubusercontent.com/OFA-Sys/gsm8k-ScRel/main/data/train_use.jsonl",
            sha256="2903868cbd1c745c36bb45daa0402c393b7ddb373edc77e4937c47496ccdbde3",
            patterns=("data/train_use.jsonl",),
            format="jsonl",
            license="mit",
            access="open",
            files=1,
            size_bytes=4_158_733,
            rows=7_473,
        ),
    ),
    parse=parse,
    key="gsm8k_screl_{row:08d}",
    steps=(
        TakeRows(columns=("query", "response")),
        CalculatorMarks(),
        TextHygiene(),
        Pack(shard_samples=10_000),
    ),
    expect=Expect(kept_share=0.99, media_per_row=0, stored_bytes=2_000),
    traps=(
        "The repository has no licence file; the licence is that of GSM8K, which it copies.",
        "Calculator marks <<...>> stand in 7,378 of 7,473 answers. They are kept as published; "
        "--set calculator.strip_marks=true takes them out. Which VILA trained on is not published.",
        "It is GSM8K's training split: do not add GSM8K to the same mixture.",
    ),
)
