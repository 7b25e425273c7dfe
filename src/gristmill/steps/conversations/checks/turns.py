"""Check who speaks in each turn. Trainers want a question and an answer by turns."""

from __future__ import annotations

from collections.abc import Iterator

from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import (
    ASSISTANT,
    DOCUMENT,
    SYSTEM,
    TAGS,
    TOOL,
    USER,
    ConversationRecord,
    Utterance,
)
from gristmill.steps.conversations.findings import DROP, FIX, KEEP, Actions, Check, Finding

ORDER = 10
CHECKS = (
    Check(
        code="not_a_conversation",
        action=DROP,
        reason=Reason.BAD_ROW,
        says="it holds no conversation of any known shape",
        why="A trainer finds no turns in it, and stops or leaves it out.",
    ),
    Check(
        code="no_turns",
        action=DROP,
        reason=Reason.BAD_TURNS,
        says="nothing is asked, or nothing answered",
        why="VILA's loader stops (IndexError); others train on nothing.",
    ),
    Check(
        code="role_unknown",
        action=FIX,
        reason=Reason.BAD_TURNS,
        says="a role that trainers do not know",
        why="LLaVA's loaders stop (KeyError); Qwen's takes every role but `human` for an answer, and trains on it.",
        mend="what other collections call their models (`chatgpt`, `bard`, `model`, ...) becomes the answer's role",
    ),
    Check(
        code="system_turn",
        action=KEEP,
        reason=Reason.BAD_TURNS,
        says="the first turn is the system's",
        why="LLaVA's and VILA's loaders stop (KeyError), Qwen's trains on it; LLaMA-Factory, swift and TRL read it.",
        mend="it is taken out",
    ),
    Check(
        code="system_late",
        action=DROP,
        reason=Reason.BAD_TURNS,
        says="a turn of the system behind the first",
        why="No trainer's template has a place for it.",
        mend="it is taken out",
    ),
    Check(
        code="turn_empty",
        action=FIX,
        reason=Reason.EMPTY_TEXT,
        says="a turn without text and without medium",
        why="The model learns to say nothing, or is asked nothing.",
        mend="the question and its answer are taken out, if no medium is shown in them",
    ),
    Check(
        code="first_not_user",
        action=FIX,
        reason=Reason.BAD_TURNS,
        says="it does not begin with a question",
        why="VILA's loader at 143c773 skips such a turn, its head draws another record; LLaMA-Factory drops it.",
        mend="what stands before the first question is taken out",
    ),
    Check(
        code="role_doubled",
        action=FIX,
        reason=Reason.BAD_TURNS,
        says="the same role twice in a row",
        why="Loaders that assert alternation stop; LLaMA-Factory drops the record.",
        mend="the turns become one, with a newline between",
    ),
    Check(
        code="ends_with_user",
        action=FIX,
        reason=Reason.BAD_TURNS,
        says="the last question has no answer",
        why="There is nothing to train on behind it; LLaMA-Factory drops the record.",
        mend="the question is taken out",
    ),
)

_MODELS = frozenset({"chatgpt", "bard", "bing", "model", "bot", "ai", "claude", "gpt4", "gpt-4", "chatbot"})
_PEOPLE = frozenset({"person", "prompter", "usr"})
_ALTERNATING = [USER, ASSISTANT] * 1000
_KNOWN = frozenset({USER, ASSISTANT, SYSTEM, TOOL, DOCUMENT})


def look(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """See :class:`CheckFamily`."""
    turns = record.turns
    roles = [turn.role for turn in turns]
    empty = [turn for turn in turns if turn.empty and turn.role != TOOL]
    if not empty and roles and not len(roles) % 2 and roles == _ALTERNATING[: len(roles)]:
        return
    if not _KNOWN.issuperset(roles):
        yield from _unknown(record, actions)
        roles = [turn.role for turn in turns]
    if DOCUMENT in roles:
        return
    movable = not record.fixed_turns
    if empty:
        yield from _empty(record, actions)
    if any(turn.role == SYSTEM for turn in turns):
        yield from _system(record, actions)
    if turns and (first := turns[0].role) != USER and first != SYSTEM:
        found = actions.on("first_not_user", f"begins with {first}", mendable=movable)
        yield found
        if found.action == FIX:
            while turns and turns[0].role != USER:
                del turns[0]
    if TOOL not in roles and any(turns[n].role == turns[n - 1].role != SYSTEM for n in range(1, len(turns))):
        yield from _doubled(record, actions)
    if turns and turns[-1].role == USER and len(turns) > 1:
        found = actions.on("ends_with_user", f"of {len(turns)} turns", mendable=movable)
        yield found
        if found.action == FIX:
            while turns and turns[-1].role == USER:
                del turns[-1]
    if not any(turn.role == USER for turn in turns) or not any(
        turn.role in (ASSISTANT, TOOL) for turn in turns
    ):
        said = "no turn at all" if not roles else f"only of {', '.join(dict.fromkeys(roles))}"
        yield actions.on("no_turns", said)


def _unknown(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    others = [turn for turn in record.turns if turn.role not in _KNOWN]
    mendable = all(turn.role.lower() in _MODELS | _PEOPLE for turn in others)
    found = actions.on(
        "role_unknown", ", ".join(dict.fromkeys(turn.role for turn in others)), mendable=mendable
    )
    yield found
    if found.action == FIX:
        for turn in others:
            turn.role = ASSISTANT if turn.role.lower() in _MODELS else USER


def _system(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    turns, movable = record.turns, not record.fixed_turns
    late = [turn for turn in turns[1:] if turn.role == SYSTEM]
    if late:
        found = actions.on("system_late", f"turn {turns.index(late[0])}", mendable=movable)
        yield found
        if found.action == FIX:
            turns[1:] = [turn for turn in turns[1:] if turn.role != SYSTEM]
    if turns[0].role == SYSTEM:
        found = actions.on("system_turn", " ".join(turns[0].texts)[:80], mendable=movable)
        yield found
        if found.action == FIX:
            del turns[0]


def _empty(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    """Empty turns go with what they answer, or what answers them."""
    turns = record.turns
    empty = [place for place, turn in enumerate(turns) if turn.empty and turn.role != TOOL]
    gone = set(empty)
    for place in empty:
        other = {USER: place + 1, ASSISTANT: place - 1}.get(turns[place].role, place)
        if 0 <= other < len(turns) and {turns[place].role, turns[other].role} == {USER, ASSISTANT}:
            gone.add(other)
    mendable = not record.fixed_turns and not any(_shows(turns[place]) for place in gone)
    found = actions.on("turn_empty", f"turn {empty[0]}, {turns[empty[0]].role}", mendable=mendable)
    yield found
    if found.action == FIX:
        turns[:] = [turn for place, turn in enumerate(turns) if place not in gone]


def _shows(turn: Utterance) -> bool:
    return bool(turn.shown) or any(tag in text for text in turn.texts for tag in TAGS.values())


def _doubled(record: ConversationRecord, actions: Actions) -> Iterator[Finding]:
    turns = record.turns
    places = [n for n in range(1, len(turns)) if turns[n].role == turns[n - 1].role != SYSTEM]
    mendable = not record.fixed_turns and all(turns[n - 1].joins(turns[n]) for n in places)
    found = actions.on("role_doubled", f"turn {places[0]}, {turns[places[0]].role}", mendable=mendable)
    yield found
    if found.action == FIX:
        for place in reversed(places):
            turns[place - 1].join(turns.pop(place))
