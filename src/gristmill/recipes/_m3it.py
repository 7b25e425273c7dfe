"""What the fourteen subsets of M3IT have in common: rows of several shapes, instructions apart, pictures within.

Li et al., 2023 (https://arxiv.org/abs/2306.04387); https://huggingface.co/datasets/MMInstruction/M3IT. The loading
script that gave all subsets one schema no longer runs, so rows are read as they lie in the repository. Their keys
differ from file to file and are found out for each row:

=============  =======================================================================================
what           names, the first that is there; ``meta`` is an object within the row, or a dotted name
=============  =======================================================================================
instruction    ``meta.instruction``, ``instruction``; none: drawn from the subset's list
inputs         ``meta.inputs``, ``inputs``, ``input``, ``question``; none: there is only an instruction
pictures       ``image_base64_str``, ``image_str``, ``img_str``, ``image``, each first in ``meta``
outputs        ``paraphrased_answer`` (or ``original_answer`` where that says nothing), ``outputs``,
               ``output``, ``answer``, ``targets``, each first in the row itself
=============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gristmill.spec import locator
from gristmill.spec.reasons import Reason
from gristmill.spec.recipe import Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, Json, MediaRef, Outcome, Sample, Show, Text, Turn
from gristmill.steps.embedded import DecodeEmbedded
from gristmill.steps.hygiene import TextHygiene
from gristmill.steps.instruct import Instruct
from gristmill.steps.lines import TakeLines
from gristmill.steps.pack import Pack

__all__ = ["m3it", "parse"]

INSTRUCTION = ("instruction",)
INPUTS = ("inputs", "input", "question")
PICTURES = ("image_base64_str", "image_str", "img_str", "image")
OUTPUTS = ("outputs", "output", "answer", "targets")

_SHARD_BYTES = 1_000_000_000
_GB = 1_000_000_000


def parse(row: Mapping[str, Json]) -> Outcome:
    """One row of any of the known shapes: pictures, then what is asked, then the answer."""
    inputs, pictures = _first(row, INPUTS), _pictures(_first(row, PICTURES))
    if isinstance(pictures, Drop):
        return pictures
    instruction, answer = _first(row, INSTRUCTION), _answer(row)
    if answer is None:
        return Drop(reason=Reason.BAD_ROW, detail=f"no answer among {', '.join(row)}"[:200])
    for name, value in (("instruction", instruction), ("inputs", inputs)):
        if not isinstance(value, str | None):
            return Drop(reason=Reason.BAD_ROW, detail=f"{name} is not text")
    names = [f"{n:03d}" for n in range(len(pictures))]
    asked = (*(Show(media=name) for name in names), *((Text(text=inputs),) if inputs else ()))
    return Sample(
        key="",
        media={name: MediaRef(at=locator.Embedded(text)) for name, text in zip(names, pictures, strict=True)},
        turns=(Turn(role="user", parts=asked), Turn(role="assistant", parts=(Text(text=answer),))),
        columns={"instruction": instruction or None},
    )


def _places(row: Mapping[str, Json], names: tuple[str, ...], *, own_first: bool) -> Iterator[Json]:
    """Values under any of the names, of ``meta`` and of the row itself."""
    meta = row.get("meta")
    for name in names:
        within = meta.get(name) if isinstance(meta, dict) else row.get(f"meta.{name}")
        yield from (row.get(name), within) if own_first else (within, row.get(name))


def _first(row: Mapping[str, Json], names: tuple[str, ...], *, own_first: bool = False) -> Json:
    return next((value for value in _places(row, names, own_first=own_first) if value is not None), None)


def _answer(row: Mapping[str, Json]) -> str | None:
    """The answer as text; of a list the first, the others stay in the upstream row."""
    paraphrased = row.get("paraphrased_answer")
    if isinstance(paraphrased, str) and paraphrased.strip():
        return paraphrased
    found = _first(row, ("original_answer", *OUTPUTS), own_first=True)
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) else paraphrased if isinstance(paraphrased, str) else None


def _pictures(found: Json) -> list[str] | Drop:
    texts = [found] if isinstance(found, str) else found
    if texts is None or texts == []:
        return Drop(reason=Reason.NO_IMAGE)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return Drop(reason=Reason.BAD_ROW, detail="a picture is not text")
    return texts


def m3it(
    config: str,
    *,
    task: str,
    title: str,
    description: str,
    rows: int,
    size_gb: float,
    folder: str | None = None,
    file: str = "train.jsonl",
    latest: str | None = None,
    latest_gb: float | None = None,
    traps: tuple[str, ...] = (),
) -> Recipe:
    """The recipe of one subset.

    Args:
        config: Its name upstream.
        task: Folder of its kind: ``captioning``, ``generation``, ``reasoning`` or ``vqa``.
        title, description: For the card.
        rows: Of the training split, as the dataset's card says.
        size_gb: Of ``file``.
        folder: Its own folder, where that is not named like ``config``.
        file: The first published training file.
        latest: The last published one, if there is another.
        latest_gb: Its size.
        traps: What is odd about this subset alone.
    """
    place = f"data/{task}/{folder or config}"
    name = f"m3it_{config.replace('-', '_')}"
    variants = {
        "latest": Variant(
            patterns=(f"{place}/{latest or file}",), size_bytes=int((latest_gb or size_gb) * _GB), rows=rows
        ),
        "plain": Variant(patterns=(f"{place}/{file}",), size_bytes=int(size_gb * _GB), rows=rows),
    }
    stored = int(size_gb * _GB * 0.75 / rows)
    return Recipe(
        name=name,
        version="2026.11.1",
        title=f"M3IT: {title}",
        description=description,
        homepage="https://huggingface.co/datasets/MMInstruction/M3IT",
        license="other",
        citation=(
            "@article{li2023m3it, title={M3IT: A Large-Scale Dataset towards Multi-Modal Multilingual Instruction "
            "Tuning}, author={Li, Lei and Yin, Yuwei and Li, Shicheng and Chen, Liang and Wang, Peiyi and Ren, "
            "Shuhuai and Li, Mukai and Yang, Yazheng and Xu, Jingjing and Sun, Xu and Kong, Lingpeng and Liu, Qi}, "
            "journal={arXiv preprint arXiv:2306.04387}, year={2023}}"
        ),
        redistribution="nothing",
        stages=("sft",),
        groups=("m3it",),
        published_as=f"{task}_{config}_train",
        sources=(
            Source(
                key="annotations",
                hub="MMInstruction/M3IT",
                revision="main",
                format="jsonl",
                license="other",
                access="open",
                files=1,
                in_place=True,
                variants=variants,
            ).with_variant("latest"),
            Source(
                key="instructions",
                hub="MMInstruction/M3IT",
                revision="main",
                patterns=(f"{place}/instruction.json", f"{place}/instructions.json"),
                format="json",
                license="other",
                access="open",
                files=1,
                size_bytes=1_000,
                in_place=True,
                role="aux",
                beside="annotations",
            ),
        ),
        parse=parse,
        writes=frozenset({"media.embedded", "columns.instruction"}),
        key=f"{name}_{{row:08d}}",
        steps=(
            TakeLines(),
            Instruct(),
            TextHygiene(),
            DecodeEmbedded(),
            Pack(shard_samples=min(10_000, max(500, _SHARD_BYTES // stored // 500 * 500))),
        ),
        expect=Expect(
            kept_share=0.95, media_per_row=0, stored_bytes=int((latest_gb or size_gb) / size_gb * stored)
        ),
        traps=(*traps, *_TRAPS),
    )


_TRAPS = (
    "The revision is the main branch: no commit with all files is known. The files' checksums at the beginning are "
    "recorded, and a run refuses to go on with others.",
    "The loading script drew instructions at random, in its later versions anew on every run. Here the draw depends "
    "on the sample's key and instruct.seed alone.",
    "As published nothing stands between instruction and inputs; --set instruct.separator=... puts something there.",
    "--set annotations.variant=plain reads the first published training file where there is a later one (latest), "
    "such as train_2023-10-09.jsonl; which of them other people's copies hold depends on when they were made.",
    "Upstream states the licence as other, VILA's list as cc-by-4.0; the pictures keep the terms of the datasets "
    "that they come from.",
)
