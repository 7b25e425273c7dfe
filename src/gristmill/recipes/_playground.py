"""Finds the pictures of mixtures whose records name them below LLaVA's ``playground/data``, family by family.

================================  ===========================  ==============================================
a path that begins                is looked for in the source  and goes on with
================================  ===========================  ==============================================
``coco/``                         ``coco``                     ``train2017/``; names of 2014 stand for 2017's
``gqa/images/``                   ``gqa``                      a file
``textvqa/train_images/``         ``textvqa``                  a file
``vg/``                           ``vg``                       ``VG_100K/``, ``VG_100K_2/``
``ocr_vqa/images/``               ``ocr-vqa``                  a file, of whatever extension
``llava/llava_pretrain/images/``  ``llava-pretrain``           a folder of five digits
``sam/images/``                   ``sam``                      a file
``FAMILY/images/``                one of :data:`WEB`           a file
================================  ===========================  ==============================================

A path that begins otherwise is dropped as ``no_file``, with the beginnings that are known: so of each record it is
decided by its own path where its picture is, whatever the file's first thousand records look like.
"""

from __future__ import annotations

from collections.abc import Mapping

from gristmill import sources
from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.spec.errors import RecipeError
from gristmill.spec.recipe import Parse, Source
from gristmill.spec.step import Step
from gristmill.steps.check import CheckConversations
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

__all__ = ["WEB", "media", "records", "steps", "told"]

WEB = ("share-textvqa", "wikiart", "web-celebrity", "web-landmark")
"""Families that ShareGPT4V was captioned on and passes on itself."""


def _of(source: str, *prefixes: str, lead: str = "") -> tuple[Family, ...]:
    return tuple(Family(prefix=prefix, source=source, lead=lead) for prefix in prefixes)


_FAMILIES: Mapping[str, tuple[Family, ...]] = {
    "coco": (
        *_of("coco", "coco/"),
        *_of("coco", *(f"coco/{of}2014/COCO_{of}2014_" for of in ("train", "val")), lead="train2017/"),
    ),
    "gqa": _of("gqa", "gqa/images/"),
    "textvqa": _of("textvqa", "textvqa/train_images/"),
    "vg": _of("vg", "vg/"),
    "ocr-vqa": _of("ocr-vqa", "ocr_vqa/images/"),
    "llava-pretrain": _of("llava-pretrain", "llava/llava_pretrain/images/"),
    "sam": _of("sam", "sam/images/"),
    "share-textvqa": _of("share-textvqa", "share_textvqa/images/"),
    **{key: _of(key, f"{key}/images/") for key in ("wikiart", "web-celebrity", "web-landmark")},
}


def records(*families: str) -> LlavaRecords:
    """A ``parse`` of records whose pictures are of these families."""
    return LlavaRecords(place=InFamilies(tuple(one for family in families for one in _FAMILIES[family])))


def told(parse: Parse) -> str:
    """Say in a sentence, for the card, in which source a picture is looked for, by how its path begins."""
    if not (isinstance(parse, LlavaRecords) and isinstance(parse.place, InFamilies)):
        raise RecipeError("only of records whose pictures are in families it can be told where they are")
    prefixes: dict[str, list[str]] = {}
    for family in sorted(parse.place.families, key=lambda family: not family.prefix):
        prefixes.setdefault(family.source, []).append(family.prefix or "anything else")
    found = "; ".join(f"{' or '.join(own)} in {source}" for source, own in prefixes.items())
    return f"A picture is looked for by how its path begins: {found}."


def media(*families: str) -> tuple[Source, ...]:
    """The sources of these families."""
    return tuple(map(sources.find, families))


def steps(shard_samples: int = 5_000, keep: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """Every record, checked; its pictures as they lie in their archives; shards.

    Args:
        shard_samples: In one shard.
        keep: Codes of checks that find no fault in these texts.
    """
    return (TakeRows(), CheckConversations(keep=keep), Media(), Pack(shard_samples=shard_samples))
