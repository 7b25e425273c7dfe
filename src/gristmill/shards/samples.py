"""A sample as bytes: the parts that lie in a shard, and the exact form that travels between stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from gristmill.shards.lossless import dumps, loads, utf8
from gristmill.shards.not_finite import NOT_FINITE, set_apart
from gristmill.spec.sample import Json, MediaRef, Origin, Part, Sample, Show, Text, Turn

__all__ = ["caption_of", "decode_sample", "encode_sample", "sample_json", "sample_parts"]

_RESERVED = {"columns", "origin", "upstream", NOT_FINITE}
_MEDIA_FIELDS = tuple(f.name for f in fields(MediaRef) if f.name != "embedded")


def sample_parts(sample: Sample, bodies: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """The parts of a sample in the order in which they lie in a shard: media, ``txt``, ``json``.

    Args:
        sample: Its media are all in ``bodies``.
        bodies: Bytes to store, by part name.

    Returns:
        Part name and bytes. ``txt`` is there only if the text is a caption's.

    Raises:
        KeyError: A medium without a body.
    """
    parts = [(name, bodies[name]) for name in sample.media]
    if text := caption_of(sample):
        parts.append(("txt", utf8(text)))
    parts.append(("json", sample_json(sample)))
    return parts


def sample_json(sample: Sample) -> bytes:
    """The ``json`` part: the same bytes for the same sample; nothing in it depends on the run.

    The facts of the one medium of a caption (part ``jpg``) stand flat, under img2dataset's names; those of media
    named by their position (``000.jpg``), be it only one, stand in ``media`` by part name. ``bytes`` is the size
    upstream, ``stored_bytes`` the size here; ``width`` and ``height`` are of what is stored. Then come ``turns``
    (unless the sample is a plain caption), the sample's columns, ``origin`` and ``upstream``, the row as it was.
    Columns that would hide one of the other names stand in ``columns``. What JSON cannot say is written as in
    :mod:`gristmill.shards.lossless`; but of numbers that are none see :mod:`gristmill.shards.not_finite`, whose
    ``put_back`` reads it.
    """
    record: dict[str, Json] = {"key": sample.key}
    media = {name: _facts(ref) for name, ref in sample.media.items()}
    facts = next(iter(media.values())) if len(media) == 1 and not any("." in name for name in media) else {}
    if facts:
        record["url"] = facts["url"]
    record["caption"] = caption_of(sample) or None
    record.update(facts)
    if media and not facts:
        record["media"] = media
    if not _is_caption(sample.turns):
        record["turns"] = [_plain_turn(turn) for turn in sample.turns]
    hidden: dict[str, Json] = {}
    for name, value in sample.columns.items():
        (hidden if name in record or name in _RESERVED else record)[name] = value
    if hidden:
        record["columns"] = hidden
    record["origin"] = _plain_origin(sample.origin)
    record["upstream"] = sample.upstream
    return set_apart(dumps(record))


def caption_of(sample: Sample) -> str:
    """The text of a sample that is a caption, and nothing of one that has turns to be read: a document, a talk."""
    return sample.text() if _is_captioned(sample.turns) else ""


def encode_sample(sample: Sample) -> bytes:
    """All of a sample as one line of JSON, for intermediate files; :func:`decode_sample` undoes it."""
    return dumps(
        {
            "key": sample.key,
            "media": {
                name: {f: v for f in _MEDIA_FIELDS if (v := getattr(ref, f)) is not None}
                for name, ref in sample.media.items()
            },
            "turns": [_plain_turn(turn) for turn in sample.turns],
            "columns": sample.columns,
            "upstream": sample.upstream,
            "origin": _plain_origin(sample.origin),
        }
    )


def decode_sample(line: bytes) -> Sample:
    """The sample that :func:`encode_sample` wrote.

    Equal to the original, except that tuples within ``columns`` and ``upstream`` come back as lists.

    Raises:
        ValueError, KeyError, TypeError: Not written by :func:`encode_sample`.
    """
    data = loads(line)
    origin = data["origin"]
    return Sample(
        key=data["key"],
        media={name: MediaRef(**facts) for name, facts in data["media"].items()},
        turns=tuple(Turn(role=t["role"], parts=tuple(map(_part, t["parts"]))) for t in data["turns"]),
        columns=data["columns"],
        upstream=data["upstream"],
        origin=None if origin is None else Origin(**origin),
    )


def _facts(ref: MediaRef) -> dict[str, Json]:
    return {
        "url": ref.url,
        "sha256": ref.sha256,
        "md5": ref.md5,
        "bytes": ref.raw_bytes,
        "width": ref.width_px,
        "height": ref.height_px,
        "original_width": ref.original_width_px,
        "original_height": ref.original_height_px,
        "stored_bytes": ref.size_bytes,
        "phash": ref.phash,
        "phash_distance": ref.phash_distance,
        **({"via": ref.via} if ref.via else {}),
    }


def _is_captioned(turns: tuple[Turn, ...]) -> bool:
    """Whether the text describes the media, as opposed to a dialogue or a document."""
    return all(turn.role == "caption" for turn in turns)


def _is_caption(turns: tuple[Turn, ...]) -> bool:
    """Whether ``caption`` beside the media says all there is to say."""
    if not turns:
        return True
    parts = turns[0].parts
    texts = [isinstance(part, Text) for part in parts]
    whole = all(isinstance(p, Text) or (p.start_s, p.end_s, p.box_px) == (None, None, None) for p in parts)
    return len(turns) == 1 and turns[0].role == "caption" and whole and not any(texts[:-1])


def _plain_origin(origin: Origin | None) -> dict[str, Json] | None:
    return None if origin is None else {"source": origin.source, "file": origin.file, "row": origin.row}


def _plain_turn(turn: Turn) -> dict[str, Json]:
    return {"role": turn.role, "parts": [_plain_part(part) for part in turn.parts]}


def _plain_part(part: Part) -> dict[str, Json]:
    if isinstance(part, Text):
        return {"text": part.text}
    plain: dict[str, Json] = {"media": part.media}
    for name in ("start_s", "end_s", "box_px"):
        value = getattr(part, name)
        if value is not None:
            plain[name] = value
    return plain


def _part(plain: dict[str, Any]) -> Part:
    if "text" in plain:
        return Text(text=plain["text"])
    box_px = plain.get("box_px")
    return Show(**{**plain, "box_px": None if box_px is None else tuple(box_px)})
