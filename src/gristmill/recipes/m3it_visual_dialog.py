"""M3IT's subset visual-dialog: pictures and dialogues about them, of which the last answer is asked for.

Visual Dialog (Das et al., 2017): ten questions and answers about a picture, of which the earlier ones stand
within the text that asks for the last answer. VILA's loader treats this subset apart: it cuts the text into
turns again.
"""

from __future__ import annotations

from gristmill.recipes._m3it import m3it

RECIPE = m3it(
    "visual-dialog",
    task="generation",
    title="Visual Dialog",
    description="Pictures and dialogues about them, of which the last answer is asked for.",
    rows=50_000,
    size_gb=3.47,
    folder="visual_dialog",
    latest="train_2023-10-09.jsonl",
    latest_gb=14.0,
    traps=(
        "A question with the words Image Descriptions holds a dialogue in its text; VILA's loader cuts it into turns "
        "at line beginnings and stops on text that does not fit. Here turns are made only where their text is the "
        "question's again, and such a question else stays one turn.",
        "An upstream commit took hints out of the inputs, and the later file was rephrased: look at the column "
        "dialogue_context to see how many samples have turns.",
    ),
)
