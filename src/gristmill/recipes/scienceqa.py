"""ScienceQA: 12,726 training problems of school science, half of them with a picture, with lectures and solutions.

Lu et al., 2022 (https://arxiv.org/abs/2209.09513), https://github.com/lupantech/ScienceQA. Three forms of it go
round, and rows of each are known by what they hold. ``problems.json`` is one object of all 21,208 problems by their
ids, with the split of each. On the hub they are Parquet files by split, without ids, the pictures within: these are
what is read unless another form is given, for nothing of them has to be fetched by hand. VILA's
``scienceqa_train_12k.json`` is what LLaVA's converter makes of the training split, pictures at ``ID/image.png``.
Problems of the first two forms become conversations by that converter's rule (QCM-LEA of
scripts/convert_sqa_to_llava.py at https://github.com/haotian-liu/LLaVA): question, context and choices by letters,
then the picture; lecture, solution and the answer's letter. What is odd about it: licences differ from place to
place, and 6 % of the problems are equal by question and choices, so that a Parquet row's id cannot be told by its
text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH, VILA
from gristmill.sources import scienceqa
from gristmill.spec.locator import Cell, Member
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Part, Sample, Show, Text, Turn
from gristmill.steps.check import CheckConversations
from gristmill.steps.ids_by_place import ID_BY_PLACE, TakeByPlace
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack

HUB = "derek-thomas/ScienceQA"
"""The repository of its Parquet files."""

LETTERS = "ABCDE"
"""Of choices, of which a problem has two to five."""

_CONVERSATION = LlavaRecords(
    place=InFamilies(
        tuple(
            Family(prefix=f"{front}{split}", source="scienceqa")
            for front in ("", "images/")
            for split in ("", "train/", "val/", "test/")
        )
    )
)
_TEXTS = ("question", "hint", "lecture", "solution")


def parse(row: Mapping[str, Json]) -> Outcome:
    """A conversation as VILA has it, or a problem, as a question with choices and an answer with its grounds."""
    if "conversations" in row:
        return _CONVERSATION(row)
    question, hint, lecture, solution = (row.get(name) for name in _TEXTS)
    choices, answer, image, problem = (row.get(n) for n in ("choices", "answer", "image", "__key__"))
    if not all(isinstance(text, str) for text in (question, hint, lecture, solution)):
        return Drop(reason=Reason.BAD_ROW, detail=f"{', '.join(_TEXTS)}: not all are texts")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        return Drop(reason=Reason.BAD_ROW, detail="choices are no texts")
    if not 2 <= len(choices) <= len(LETTERS) or type(answer) is not int or not 0 <= answer < len(choices):
        return Drop(reason=Reason.BAD_ROW, detail=f"answer {answer!r} of {len(choices)} choices"[:200])
    media: dict[str, MediaRef] = {}
    if isinstance(image, str) and isinstance(problem, str):
        media = {"000": MediaRef(at=Member("scienceqa", f"{problem}/{image}"))}
    elif isinstance(image, Mapping) and problem is None:
        media = {"000": MediaRef(at=Cell.beside("image.bytes"))}
    elif image is not None:
        return Drop(reason=Reason.BAD_ROW, detail=f"image is no file's name: {image!r}"[:200])
    asked: tuple[Part, ...] = (Text(text=_question(str(question), str(hint), choices)),)
    said = _said(f"Answer: {_unescaped(lecture)} {_unescaped(solution)} The answer is {LETTERS[answer]}.")
    return Sample(
        key="",
        media=media,
        turns=(
            Turn(role="user", parts=(*asked, *(Show(media=name) for name in media))),
            Turn(role="assistant", parts=(Text(text=said.replace("Answer: ", "")),)),
        ),
        columns={"id": problem or row.get(ID_BY_PLACE)},
    )


def _question(question: str, hint: str, choices: Sequence[str]) -> str:
    listed = " ".join(f"({LETTERS[n]}) {choice}" for n, choice in enumerate(choices))
    text = _said(f"Question: {question}\nContext: {hint.strip() or 'N/A'}\nOptions: {listed}\n")
    return text.replace("Question: ", "")


def _said(text: str) -> str:
    """A text as the converter leaves it: of two blanks one. What it begins with is taken out wherever it stands."""
    return text.replace("  ", " ").strip()


def _unescaped(text: Json) -> str:
    """Line breaks as such: the converter escapes them, and turns all escapes back."""
    return str(text).replace("\\n", "\n")


RECIPE = Recipe(
    name="scienceqa",
    version="2026.12.2",
    title="ScienceQA",
    description=(
        "School problems with choices, half of them about a picture, with the lecture and solution that lead to the "
        "answer."
    ),
    homepage="https://scienceqa.github.io",
    license="cc-by-nc-sa-4.0",
    citation=(
        "@inproceedings{lu2022learn, title={Learn to Explain: Multimodal Reasoning via Thought Chains for Science "
        "Question Answering}, author={Lu, Pan and Mishra, Swaroop and Xia, Tony and Qiu, Liang and Chang, Kai-Wei "
        "and Zhu, Song-Chun and Tafjord, Oyvind and Clark, Peter and Kalyan, Ashwin}, booktitle={NeurIPS}, "
        "year={2022}}"
    ),
    redistribution="nothing",
    stages=("sft",),
    sources=(
        Source(
            key="annotations",
            hub=HUB,
            revision="main",
            license="cc-by-nc-sa-4.0 by ScienceQA's authors; the copy on the hub says cc-by-sa-4.0, VILA nothing",
            files=1,
            variants={
                "parquet": Variant(patterns=("data/train-*.parquet",), size_bytes=377_000_000, rows=12_726),
                "vila": Variant(patterns=("scienceqa_train_12k.json",), size_bytes=18_100_000, rows=12_726),
                "problems": Variant(patterns=("problems.json",), rows=21_208),
            },
        ).with_variant("parquet"),
        scienceqa.SOURCE,
        Source(
            key="problems",
            role="aux",
            by_hand=(
                "Fetch https://raw.githubusercontent.com/lupantech/ScienceQA/main/data/scienceqa/problems.json, if "
                "rows of Parquet files are to have ids."
            ),
            patterns=("problems.json",),
            format="json",
            license="cc-by-nc-sa-4.0",
        ),
    ),
    parse=parse,
    writes=frozenset({"media.at", "turns"}),
    key="scienceqa_{file:02d}_{row:08d}",
    steps=(
        TakeByPlace(where=("split=train",)),
        CheckConversations(),
        Media(),
        Pack(shard_samples=5_000),
    ),
    expect=Expect(kept_share=0.95, media_per_row=0.49, stored_bytes=45_000),
    traps=(
        MAIN_BRANCH.format(repo=HUB),
        "Parquet rows have no ids. With --source problems=problems.json they get them by their places, if all agree "
        "in question and choices; else the run ends with a sentence.",
        "VILA's conversations: --set annotations.variant=vila --source annotations=hf://datasets/"
        + VILA
        + "@main, or "
        "a copy of one's own; their pictures are in the authors' zips, which are had by hand.",
        "--source annotations=problems.json reads all problems; those of the splits val and test are left out "
        "(left_out) unless --set 'rows.where=split=train|val' names them. Get it from raw.githubusercontent.com: the "
        "link that other guides give is a page of HTML.",
        "Whether VILA's paths have the split in front is not known; ids are unique, so both forms lead to the same "
        "picture.",
        "Licences differ: its authors say CC BY-NC-SA 4.0, the copy on the hub cc-by-sa-4.0.",
        "The benchmark of the same name is its test split: do not train on that and report it.",
    ),
)
