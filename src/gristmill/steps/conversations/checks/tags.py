"""Tags against media: as many, of the same kind, in questions; and tags that are only text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import ASSISTANT, SYSTEM, TAGS, USER, ConversationRecord
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, Check, Finding

ORDER = 20
CHECKS = (
    Check(
        code="tag_literal",
        action=FIX,
        reason=Reason.MEDIA_TOKEN,
        says="a tag in the text of a record whose media are shown otherwise, or that has none",
        why="LLaMA-Factory and swift count it and stop, or delete the record; VILA's head takes it out of the text.",
        mend="it is written in capitals, which no trainer reads as a tag (`<IMAGE>`)",
    ),
    Check(
        code="tags_missing",
        action=FIX,
        reason=Reason.TAG_MISMATCH,
        says="media, and no tag at all",
        why="LLaMA-Factory stops (ValueError); VILA's loader at 143c773 adds one tag, and stops at several media.",
        mend="the tags are put before the first question, a line each",
    ),
    Check(
        code="tags_few",
        action=DROP,
        reason=Reason.TAG_MISMATCH,
        says="fewer tags than media",
        why="Most trainers stop in the middle of training; where the other media belong is not known.",
    ),
    Check(
        code="tags_many",
        action=DROP,
        reason=Reason.TAG_MISMATCH,
        says="more tags than media",
        why="Most trainers stop in the middle of training, or draw another record.",
    ),
    Check(
        code="tag_in_answer",
        action=FIX,
        reason=Reason.TAG_MISMATCH,
        says="a tag in an answer",
        why="VILA and LLaMA-Factory count it as the place of a medium; the model learns to write it.",
        mend="it is written in capitals (`<IMAGE>`), if the tags in questions are as many as the media",
    ),
    Check(
        code="tag_in_system",
        action=DROP,
        reason=Reason.TAG_MISMATCH,
        says="a tag in the system's turn",
        why="Trainers show media in questions alone.",
        mend="it is put before the first question",
    ),
    Check(
        code="tag_kind",
        action=KEEP,
        reason=Reason.TAG_MISMATCH,
        says="as many tags as media, of another kind",
        why="LLaVA-NeXT wants `<image>` for a video, all others `<video>`.",
        mend="each tag becomes that of its medium",
    ),
    Check(
        code="tag_inside",
        action=KEEP,
        reason=Reason.TAG_MISMATCH,
        says="the only tag stands within a sentence",
        why="LLaVA-NeXT moves it to the front of the turn, which changes the sentence; others leave it.",
    ),
    Check(
        code="tag_foreign",
        action=KEEP,
        reason=Reason.MEDIA_TOKEN,
        says="another trainer's tag (`<IMG_CONTEXT>`, `<ImageHere>`, `<image_1>`, ...)",
        why="To its own trainer it is the place of a medium, to all others noise.",
    ),
)

_TAG = re.compile("|".join(map(re.escape, TAGS.values())))
_FOREIGN = re.compile(r"<(?:IMG_CONTEXT|VIDEO_CONTEXT|ImageHere|image_?\d+|Img|img)>")


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`."""
    if not record.turns:
        return
    whole = record.whole()
    by_role: dict[str, Counter[str]] = {}
    if "<" in whole:
        if foreign := _FOREIGN.search(whole):
            yield actions.on("tag_foreign", foreign[0])
        if record.tagged and _is_plain(record, whole):
            return
        for kind, tag in TAGS.items():
            if tag in whole:
                for turn, _, text in record.places():
                    if count := text.count(tag):
                        by_role.setdefault(turn.role, Counter())[kind] += count
    if not record.tagged:
        yield from _parts(record, actions)
    if by_role and (not record.tagged or not record.media):
        found = actions.on("tag_literal", ", ".join(sorted({TAGS[k] for c in by_role.values() for k in c})))
        yield found
        if found.action == FIX:
            _neutralise(record)
        return
    if record.tagged and (record.media or by_role):
        yield from _tags(record, by_role, actions)


def _is_plain(record: ConversationRecord, whole: str) -> bool:
    """One picture, and its tag at the beginning or end of the first question: so it is in most records."""
    if len(record.media) != 1 or record.turns[0].role != USER or whole.count("<image>") != 1:
        return False
    text = record.turns[0].texts[0]
    at_an_end = text.startswith("<image>") or text.endswith("<image>")
    return at_an_end and record.media[0].kind == "image" and "<video>" not in whole and "<audio>" not in whole


def _tags(
    record: ConversationRecord, by_role: dict[str, Counter[str]], actions: Actions
) -> Iterator[Finding]:
    """Tags against media, where there are media."""
    wanted = Counter(medium.kind for medium in record.media)
    if not by_role:
        first = next((turn for turn in record.turns if turn.role == USER), None)
        found = actions.on(
            "tags_missing", _counted(wanted), mendable=first is not None and not record.odd_media
        )
        yield found
        if found.action == FIX and first is not None:
            first.texts[0] = _line(record) + first.texts[0]
        return
    system = by_role.pop(SYSTEM, Counter())
    if system:
        found = actions.on("tag_in_system", _counted(system))
        yield found
        if found.action == FIX:
            _out_of_system(record)
            by_role[USER] = by_role.get(USER, Counter()) + system
        elif found.action == KEEP:
            by_role[USER] = by_role.get(USER, Counter()) + system
    answers = by_role.pop(ASSISTANT, Counter())
    asked = sum(by_role.values(), Counter())
    if answers:
        found = actions.on("tag_in_answer", _counted(answers), mendable=asked == wanted)
        yield found
        if found.action == FIX:
            _neutralise(record, ASSISTANT)
        elif asked != wanted:
            asked += answers
    yield from _compared(record, asked, wanted, actions)


def _compared(
    record: ConversationRecord, asked: Counter[str], wanted: Counter[str], actions: Actions
) -> Iterator[Finding]:
    if asked == wanted:
        if asked.total() == 1 and _is_inside(record):
            yield actions.on("tag_inside")
    elif asked.total() == wanted.total():
        mendable = len(wanted) == 1 or len(asked) == 1
        found = actions.on("tag_kind", f"{_counted(asked)} for {_named(wanted)}", mendable=mendable)
        yield found
        if found.action == FIX:
            kinds = iter(medium.kind for medium in record.media)
            for turn, number, text in record.places():
                turn.texts[number] = _TAG.sub(lambda _: TAGS[next(kinds)], text)
    else:
        code = "tags_few" if asked.total() < wanted.total() else "tags_many"
        yield actions.on(code, f"{_counted(asked)} for {_named(wanted)}")


def _parts(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """Parts that show media against the media beside the turns, which fill them in order."""
    shown = sum(len(turn.shown) for turn in record.turns)
    own = sum(medium.own for medium in record.media)
    beside = len(record.media) - own
    listed_twice = record.raw is not None and beside == shown
    if beside and beside != shown - own and not listed_twice:
        said = f"{shown} parts show media, {own} of them with a path, and there are {beside} beside the turns"
        yield actions.on("tags_few" if shown < beside else "tags_many", said)
    elif not beside and shown > own:
        yield actions.on("tags_many", f"{shown} parts show media, and {own} of them say where it is")
    answers = sum(len(turn.shown) for turn in record.turns if turn.role == ASSISTANT)
    if answers:
        yield actions.on("tag_in_answer", f"{answers} parts", mendable=False)


def _is_inside(record: ConversationRecord) -> bool:
    """Whether words stand on the tag's line both before and behind it."""
    for _, _, text in record.places():
        if found := _TAG.search(text):
            before, behind = text[: found.start()], text[found.end() :]
            return bool(before.rpartition("\n")[2].strip() and behind.partition("\n")[0].strip())
    return False


def _line(record: ConversationRecord) -> str:
    return "".join(f"{TAGS[medium.kind]}\n" for medium in record.media)


def _out_of_system(record: ConversationRecord) -> None:
    first = next((turn for turn in record.turns if turn.role == USER), None)
    moved = ""
    for turn, number, text in record.places():
        if turn.role == SYSTEM:
            moved += "".join(f"{tag}\n" for tag in _TAG.findall(text))
            turn.texts[number] = _TAG.sub("", text)
    if first is not None:
        first.texts[0] = moved + first.texts[0]


def _neutralise(record: ConversationRecord, role: str = "") -> None:
    for turn, number, text in record.places():
        if not role or turn.role == role:
            turn.texts[number] = _TAG.sub(lambda found: found[0].upper(), text)


def _counted(tags: Counter[str]) -> str:
    return ", ".join(f"{count} {TAGS[kind]}" for kind, count in sorted(tags.items())) or "none"


def _named(media: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in sorted(media.items()))
