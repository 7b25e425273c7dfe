"""A sample as bytes: the parts that lie in a shard, and the exact form that travels between stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Self, cast

from gristmill.shards.lossless import dumps, dumps_bare, is_tagged, loads, utf8
from gristmill.shards.not_finite import NOT_FINITE, set_apart
from gristmill.spec.body import Body
from gristmill.spec.cut import Cut
from gristmill.spec.locator import Locator, Url
from gristmill.spec.part_names import frame_names, is_frames
from gristmill.spec.sample import Json, MediaRef, Origin, Part, Sample, Show, Text, Turn

__all__ = ["StoredSample", "caption_of", "decode_sample", "encode_sample", "sample_parts"]

_RESERVED = {"columns", "origin", "upstream", NOT_FINITE}
_MEDIA_FIELDS = tuple(f.name for f in fields(MediaRef) if f.name not in {"kind", "at", "cut"})
_SAID = (
    ("url", "url"),
    ("sha256", "sha256"),
    ("md5", "md5"),
    ("bytes", "raw_bytes"),
    ("width", "width_px"),
    ("height", "height_px"),
    ("original_width", "original_width_px"),
    ("original_height", "original_height_px"),
    ("stored_bytes", "size_bytes"),
    ("phash", "phash"),
    ("phash_distance", "phash_distance"),
)
"""Names in a ``json`` part, and the fields of :class:`MediaRef` behind them."""
_SAID_IF_KNOWN = ("duration_s", "fps", "frames", "start_s", "via", "at", "cut", "name")


def sample_parts(sample: Sample, bodies: Mapping[str, Body]) -> list[tuple[str, Body]]:
    """The parts of a sample in the order in which they lie in a shard: media, ``txt``, ``json``.

    Args:
        sample: Its media are all in ``bodies``.
        bodies: Bytes to store, by part name.

    Returns:
        Part name and bytes. ``txt`` is there unless the sample has turns to be read; without a caption it is empty.

    Raises:
        KeyError: A medium without a body.
    """
    return StoredSample(_plain_sample(sample), bare=False).parts(bodies)


def caption_of(sample: Sample) -> str:
    """The text of a sample that is a caption, and nothing of one that has turns to be read: a document, a talk."""
    return sample.text() if all(turn.role == "caption" for turn in sample.turns) else ""


class StoredSample:
    """A sample as plain data, as it lies in an intermediate file: of a :class:`Sample` nothing needs to be made.

    Args:
        plain: What :func:`encode_sample` writes.
        bare: Nothing in it needs one of the forms of :mod:`gristmill.shards.lossless`.

    Attributes:
        media: Part name to what is known of the medium, under the names of :class:`MediaRef`.
        caption: As :func:`caption_of` a sample.
    """

    __slots__ = ("_bare", "_plain", "caption", "media")

    def __init__(self, plain: dict[str, Any], *, bare: bool) -> None:
        self._plain, self._bare = plain, bare
        self.media: dict[str, dict[str, Json]] = plain["media"]
        self.caption = _caption(plain["turns"])

    @classmethod
    def read(cls, line: bytes) -> Self:
        """The sample that :func:`encode_sample` wrote.

        Raises:
            ValueError, KeyError, TypeError: Not written by :func:`encode_sample`.
        """
        return cls(loads(line), bare=not is_tagged(line))

    def parts(self, bodies: Mapping[str, Body]) -> list[tuple[str, Body]]:
        """See :func:`sample_parts`."""
        parts: list[tuple[str, Body]] = [(name, bodies[name]) for name in self._part_names()]
        if all(turn["role"] == "caption" for turn in self._plain["turns"]):
            parts.append(("txt", utf8(self.caption)))
        parts.append(("json", self.json()))
        return parts

    def _part_names(self) -> Iterator[str]:
        for name, known in self.media.items():
            if is_frames(name):
                yield from frame_names(known["frames"])
            else:
                yield name

    def json(self) -> bytes:
        """The ``json`` part: the same bytes for the same sample; nothing in it depends on the run.

        The facts of the one medium of a caption (part ``jpg``) stand flat, under img2dataset's names; those of media
        named by their position (``000.jpg``), be it only one, stand in ``media`` by part name. ``bytes`` is the size
        upstream, ``stored_bytes`` the size here; ``width`` and ``height`` are of what is stored. Then come ``turns``
        (unless the sample is a plain caption), the sample's columns, ``origin`` and ``upstream``, the row as it was.
        Columns that would hide one of the other names stand in ``columns``. What JSON cannot say is written as in
        :mod:`gristmill.shards.lossless`; but of numbers that are none see :mod:`gristmill.shards.not_finite`, whose
        ``put_back`` reads it.
        """
        plain = self._plain
        record: dict[str, Json] = {"key": plain["key"]}
        media = {name: _facts(known) for name, known in self.media.items()}
        facts = (
            next(iter(media.values())) if len(media) == 1 and not any("." in name for name in media) else {}
        )
        if facts:
            record["url"] = facts["url"]
        record["caption"] = self.caption or None
        record.update(facts)
        if media and not facts:
            record["media"] = media
        if not _is_caption(plain["turns"]):
            record["turns"] = plain["turns"]
        hidden: dict[str, Json] = {}
        for name, value in plain["columns"].items():
            (hidden if name in record or name in _RESERVED else record)[name] = value
        if hidden:
            record["columns"] = hidden
        record["origin"] = plain["origin"]
        record["upstream"] = plain["upstream"]
        return dumps_bare(record) if self._bare else set_apart(dumps(record))


def encode_sample(sample: Sample) -> bytes:
    """All of a sample as one line of JSON, for intermediate files; :func:`decode_sample` undoes it."""
    return dumps(_plain_sample(sample))


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
        media={name: _media_ref(facts) for name, facts in data["media"].items()},
        turns=tuple(Turn(role=t["role"], parts=tuple(map(_part, t["parts"]))) for t in data["turns"]),
        columns=data["columns"],
        upstream=data["upstream"],
        origin=None if origin is None else Origin(**origin),
    )


def _plain_sample(sample: Sample) -> dict[str, Any]:
    return {
        "key": sample.key,
        "media": {
            name: {
                "kind": ref.kind,
                **_plain_locator(ref.at),
                **_plain_cut(ref.cut),
                **{f: v for f in _MEDIA_FIELDS if (v := getattr(ref, f)) is not None},
            }
            for name, ref in sample.media.items()
        },
        "turns": [_plain_turn(turn) for turn in sample.turns],
        "columns": sample.columns,
        "upstream": sample.upstream,
        "origin": _plain_origin(sample.origin),
    }


def _plain_locator(at: Locator | None) -> dict[str, Json]:
    """A URL stands flat, as most media have one; of what is embedded no text is kept."""
    kept = at and at.kept()
    if kept is None:
        return {}
    if isinstance(kept, Url):
        return {"url": kept.url}
    return {"at": {"kind": kept.kind, **asdict(cast(Any, kept))}}


def _plain_cut(cut: Cut | None) -> dict[str, Json]:
    """The ends that a cut has."""
    if cut is None:
        return {}
    seconds = {
        name: float(value) for name in ("start_s", "end_s") if (value := getattr(cut, name)) is not None
    }
    frames = {n: value for n in ("first_frame", "last_frame") if (value := getattr(cut, n)) is not None}
    return {"cut": {**seconds, **frames}}


def _media_ref(facts: dict[str, Any]) -> MediaRef:
    url, at = facts.pop("url", None), facts.pop("at", None)
    locator: Locator | None = None if url is None else Url(url)
    if at is not None:
        locator = Locator.kinds[at.pop("kind")](**at)
    cut = facts.pop("cut", None)
    return MediaRef(at=locator, cut=None if cut is None else Cut(**cut), **facts)


def _facts(known: Mapping[str, Json]) -> dict[str, Json]:
    """What is said of a medium in a ``json`` part."""
    facts = {name: known.get(field) for name, field in _SAID}
    return facts | {name: value for name in _SAID_IF_KNOWN if (value := known.get(name)) is not None}


def _caption(turns: Sequence[Mapping[str, Any]]) -> str:
    """All text, if it describes the media, as opposed to a dialogue or a document."""
    if not all(turn["role"] == "caption" for turn in turns):
        return ""
    return "\n".join(part["text"] for turn in turns for part in turn["parts"] if "text" in part)


def _is_caption(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether ``caption`` beside the media says all there is to say: one text, last, and media shown whole."""
    if not turns:
        return True
    parts = turns[0]["parts"]
    whole = all(part.keys() == {"media"} for part in parts[:-1])
    last = not parts or parts[-1].keys() in ({"text"}, {"media"})
    return len(turns) == 1 and turns[0]["role"] == "caption" and whole and last


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
