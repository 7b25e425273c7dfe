"""Makes the recipes of the nine files in InternVL's reproduction of LLaVA-NeXT's mixture.

https://internvl.readthedocs.io/en/latest/internvl1.2/reproduce.html: JSON Lines of ``{id, image, conversations}``,
one picture a record, with paths below a root of each file's own. All nine, and the pictures of all families, are in
one hub repository, which is the first choice for the sources here; its older state has the nine files at its top, a
later one in the folder ``opensource``. The token may be missing, and then stands before the first question.
"""

from __future__ import annotations

from collections.abc import Sequence

from gristmill import sources
from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.recipes._main_branch import MAIN_BRANCH
from gristmill.recipes._playground import steps, told
from gristmill.sources._playground import INTERNVL, INTERNVL_REVISION
from gristmill.spec.recipe import Expect, Parse, Recipe, Source

__all__ = ["below", "llava_next"]


def below(source: str, *prefixes: str) -> LlavaRecords:
    """A ``parse`` of records whose pictures are all of one source, whichever of the prefixes their paths have."""
    return LlavaRecords(place=InFamilies(tuple(Family(prefix=one, source=source) for one in prefixes)))


def llava_next(
    name: str,
    *,
    file: str,
    size_bytes: int,
    rows: int,
    parse: Parse,
    media: Sequence[str],
    title: str,
    description: str,
    citation: str,
    traps: Sequence[str],
    stored_bytes: int | None = None,
    kept_share: float = 0.95,
    media_per_row: float = 1.0,
    others: Sequence[str] = (),
    license: str = "apache-2.0",
    keep: tuple[str, ...] = (),
) -> Recipe:
    """One of the nine.

    Args:
        name: Its module's.
        file: Of its annotations.
        size_bytes: Of that, as published.
        rows: In it, as published.
        parse: From a record to a sample.
        media: Keys of its media sources.
        title: For the card.
        description: For the card.
        citation: For the card.
        traps: What is odd about it, beside what is odd about all.
        stored_bytes: Usual size of a picture.
        kept_share: See :class:`gristmill.spec.recipe.Expect`.
        media_per_row: See :class:`gristmill.spec.recipe.Expect`.
        others: Names under which other people have the same records.
        license: Of the annotations.
        keep: Codes of checks that find no fault here.
    """
    return Recipe(
        name=name,
        version="2026.12.1",
        title=title,
        description=description,
        homepage=f"https://huggingface.co/datasets/{INTERNVL}",
        license=license,
        citation=citation,
        redistribution="nothing",
        stages=("sft",),
        groups=("llava-next",),
        sources=(
            Source(
                key="annotations",
                hub=INTERNVL,
                revision=INTERNVL_REVISION,
                patterns=(f"opensource/{file}", file, *others),
                format="jsonl",
                license=license,
                files=1,
                size_bytes=size_bytes,
                rows=rows,
            ),
            *map(sources.find, media),
        ),
        parse=parse,
        writes=frozenset({"media.at", "turns"}),
        key=f"{name}_{{row:08d}}",
        steps=steps(keep=keep),
        expect=Expect(kept_share=kept_share, media_per_row=media_per_row, stored_bytes=stored_bytes),
        traps=(MAIN_BRANCH.format(repo=INTERNVL), told(parse), *traps),
    )
