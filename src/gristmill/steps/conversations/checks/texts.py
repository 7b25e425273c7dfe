"""What stands in texts and should not: control strings, damaged characters, names of files, answers that go wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import ASSISTANT, ConversationRecord, Utterance
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, Check, Finding

ORDER = 30
CHECKS = (
    Check(
        code="control_text",
        action=FIX,
        reason=Reason.CONTROL_TEXT,
        says="a template's control string (`<|im_end|>`, `</s>`, `[INST]`, ` ASSISTANT: `, ...)",
        why="The trainer's template splits the conversation there: the parts no longer match, and all labels of the "
        "record are masked, with a warning at most.",
        mend="at the end of a turn it is taken out, elsewhere a space is put into it. `USER:` and `ASSISTANT:`, "
        "which show that a further round stands in the text, are not mended",
    ),
    Check(
        code="bad_characters",
        action=FIX,
        reason=Reason.BAD_CHARACTERS,
        says="NUL or half a surrogate pair",
        why="Tokenizers and Arrow stop at them.",
        mend="each becomes U+FFFD",
    ),
    Check(
        code="lost_characters",
        action=KEEP,
        reason=Reason.BAD_CHARACTERS,
        says="U+FFFD, which stands for a character that was lost before",
        why="What stood there is gone.",
    ),
    Check(
        code="mojibake",
        action=FIX,
        reason=Reason.MOJIBAKE,
        says="UTF-8 that was read as cp1252 or latin-1 (`â€™` for `’`)",
        why="The model learns to write it.",
        mend="it is read again as UTF-8, where that gives characters",
    ),
    Check(
        code="file_id",
        action=DROP,
        reason=Reason.FILE_ID,
        says="the name of the record's own file, or one like `sa_` and digits, in a text",
        why="The model learns to invent names of files. VILA filters its captions for it.",
    ),
    Check(
        code="answer_repeats",
        action=DROP,
        reason=Reason.TEXT_REPEATS,
        says="an answer that says the same again and again",
        why="The model learns to loop. VILA filters its captions for it.",
    ),
    Check(
        code="answer_cut_off",
        action=KEEP,
        reason=Reason.TEXT_CUT_OFF,
        says="a long answer that ends within a sentence",
        why="It was cut off by the length limit of the model that wrote it.",
        mend="it ends behind its last whole sentence",
    ),
)

_CONTROL = re.compile(
    r"<\|[A-Za-z][A-Za-z0-9_]*\|>|<｜[^<>\n]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad)>"
    r"|(?:^|[\s>])(?:USER|ASSISTANT): |^### ?(?:Human|Assistant):",
    re.MULTILINE,
)
_ROUND = re.compile(r"USER: |ASSISTANT: |###")
_BAD = re.compile("[\0\ud800-\udfff]")
_MOJIBAKE = re.compile(
    "[ÃÂ][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122\u20ac]"
    "|[âã][\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2020\u2021\u02c6\u2030\u0160\u0152\u017d\u201c\u201d\u2022\u2122]"
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122\u20ac]"
    "|ð[\u0178\u009f][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122\u20ac]{2}"
    "|ï»¿|ï¬[\u0080-\u0082\u20ac\u201a]"
)
_FILE_ID = re.compile(
    r"\bsa_\d{3,}\b|\bCOCO_(?:train|val|test)\d{4}_\d{12}\b|\bGCC_train_\d{9}\b|\b\d{12}\.jpg\b"
)
_SENTENCE = re.compile(r"[.!?。！？]['\")\]”’]*(?:\s+|$)|\n+")
_LONG_CHARS = 200
"""Shorter answers are labels and names: they may end anywhere, and repeat what they like."""
_STEM_CHARS = 6
_REPEATED = 4
_PERIOD_WORDS = 8
_MARKS = ("<|", "<｜", "s>", "INST]", "SYS>>", "_turn>", "<pad>", "USER: ", "ASSISTANT: ", "###")
"""One of them is in whatever ``_CONTROL`` finds, which takes long to look."""


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`."""
    whole = record.whole()
    if any([mark in whole for mark in _MARKS]) and _CONTROL.search(whole):
        yield from _control(record, actions)
    if "\0" in whole or not whole.isascii():
        yield from _characters(record, whole, actions)
    if found := _file_id(record, whole):
        yield actions.on("file_id", found)
    if len(whole) > _LONG_CHARS:
        for turn in record.turns:
            if turn.role == ASSISTANT and turn.texts and len(turn.texts[-1]) > _LONG_CHARS:
                yield from _answer(turn, actions)


def _control(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    seen = [found[0] for _, _, text in record.places() for found in _CONTROL.finditer(text)]
    if not seen:
        return  # it goes over two texts
    rounds = any(_ROUND.search(one) for one in seen)
    found = actions.on(
        "control_text", ", ".join(dict.fromkeys(one.strip() for one in seen)), mendable=not rounds
    )
    yield found
    if found.action == FIX:
        for turn, number, text in record.places():
            turn.texts[number] = _without_control(text)


def _without_control(text: str) -> str:
    while (found := list(_CONTROL.finditer(text))) and not text[found[-1].end() :].strip():
        text = text[: found[-1].start()].rstrip()
    return _CONTROL.sub(lambda one: f"{one[0][0]} {one[0][1:]}", text)


def _characters(record: ConversationRecord, whole: str, actions: Actions) -> Iterator[Finding]:
    if _BAD.search(whole):
        found = actions.on("bad_characters", repr(_BAD.search(whole)[0]))  # type: ignore[index]  # it was found
        yield found
        if found.action == FIX:
            for turn, number, text in record.places():
                turn.texts[number] = _BAD.sub("\N{REPLACEMENT CHARACTER}", text)
    if "\N{REPLACEMENT CHARACTER}" in whole:
        yield actions.on("lost_characters", _around(whole, whole.index("\N{REPLACEMENT CHARACTER}")))
    if seen := _MOJIBAKE.search(whole):
        mended = _read_again(whole)
        found = actions.on("mojibake", _around(whole, seen.start()), mendable=mended != whole)
        yield found
        if found.action == FIX:
            for turn, number, text in record.places():
                turn.texts[number] = _read_again(text)


def _read_again(text: str) -> str:
    return _MOJIBAKE.sub(lambda found: _utf8_of(found[0]), text)


def _utf8_of(text: str) -> str:
    """Characters that UTF-8 was taken for, as they were; cp1252 leaves five bytes out, which latin-1 has."""
    try:
        raw = b"".join(_byte_of(char) for char in text)
        return raw.decode().replace("\ufeff", "")
    except UnicodeError:
        return text


def _byte_of(char: str) -> bytes:
    return char.encode("latin-1" if ord(char) < 256 else "cp1252")


def _around(text: str, place: int) -> str:
    return text[max(0, place - 20) : place + 20].replace("\n", " ")


def _file_id(record: ConversationRecord, whole: str) -> str:
    for medium in record.media:
        if not medium.embedded:
            stem = medium.path.rpartition("/")[2].partition(".")[0]
            if len(stem) >= _STEM_CHARS and stem in whole and any(char.isdigit() for char in stem):
                return stem
    if "sa_" in whole or "_train" in whole or ".jpg" in whole or "COCO_" in whole:
        found = _FILE_ID.search(whole)
        return found[0] if found else ""
    return ""


def _answer(turn: Utterance, actions: Actions) -> Iterator[Finding]:
    text = turn.texts[-1]
    if said := _repeated(text):
        yield actions.on("answer_repeats", said)
    end = text.rstrip()
    if (
        end.rpartition(" ")[2].rstrip(",").replace("'", "").isalpha()
    ):  # no result of a sum, no hashtag, no code
        ends = [found.end() for found in _SENTENCE.finditer(end) if found[0].strip()]
        if len(ends) > 1 and ends[-1] < len(end):
            found = actions.on("answer_cut_off", f"... {end[-60:]}".replace("\n", " "))
            yield found
            if found.action == FIX:
                turn.texts[-1] = end[: ends[-1]].rstrip()


def _repeated(text: str) -> str:
    """What an answer repeats: a sentence four times, or at its end some words four times in a row."""
    if text.count(". ") + text.count("\n") >= _REPEATED - 1:
        for sentence, count in Counter([part.strip() for part in _SENTENCE.split(text)]).most_common(3):
            if count >= _REPEATED and len(sentence) >= 20 and " " in sentence:
                return f"{count} times: {sentence[:80]}"
    words = text.rsplit(None, _PERIOD_WORDS * _REPEATED)[1:]
    for period in range(1, _PERIOD_WORDS + 1):
        if len(words) < period * _REPEATED:
            break
        if words[-1] == words[-1 - period] and words[-period * _REPEATED :] == words[-period:] * _REPEATED:
            tail = words[-period:]
            if any(word.isalpha() for word in tail):
                return f"ends with, again and again: {' '.join(tail)[:80]}"
    return ""
