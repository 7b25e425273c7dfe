"""Made-up annotation files whose rows hold their pictures, in the shapes of M3IT's subsets, odd ones among them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from gristmill import recipes
from gristmill.testing.odd_bytes import corrupt_jpeg, truncated
from gristmill.testing.pictures import shipped_pictures

__all__ = ["INSTRUCTIONS", "write_gsm8k", "write_m3it"]

INSTRUCTIONS = (
    "Look at the picture and answer in a sentence. ",
    "Say what you see, and then reply: ",
    "Answer the question about the picture. ",
)
_WIDTH_PX = 160
_VARIANTS = 40
_ODD_EVERY = 30


def write_m3it(folder: Path, name: str, rows: int) -> None:
    """The training file and the instructions of one of M3IT's recipes, below ``folder`` as in its repository.

    Every thirtieth row is odd: Base64 that is none, a damaged or cut picture, no picture, no answer, half a line.

    Args:
        folder: Stands for the repository.
        name: The recipe's.
        rows: How many.
    """
    recipe = recipes.find(name)
    path = folder / recipe.source("annotations").patterns[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(_line(name, number) for number in range(rows)), encoding="utf-8")
    (folder / recipe.source("instructions").patterns[1]).write_text(json.dumps(INSTRUCTIONS))


def write_gsm8k(path: Path, rows: int) -> None:
    """Problems with worked answers; the last two rows are odd."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made: list[dict[str, Any]] = []
    for n in range(max(3, rows) - 2):
        query = f"Ida fills {n + 2} bags with {n % 7 + 3} plums each. How many plums are there?"
        sum_ = (n + 2) * (n % 7 + 3)
        response = f"There are {n + 2}*{n % 7 + 3} = <<{n + 2}*{n % 7 + 3}={sum_}>>{sum_} plums.\n#### {sum_}"
        made.append({"query": query, "response": response})
    made += [{"query": "", "response": "#### 1"}, {"query": "How many?"}]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in made), encoding="utf-8")


def _line(name: str, number: int) -> str:
    row = _ROWS[name](number) if name in _ROWS else _plain_row(number)
    odd = number // _ODD_EVERY if number % _ODD_EVERY == _ODD_EVERY - 1 else None
    text = json.dumps(row if odd is None else _odd(row, number, odd))
    return f"{text[: len(text) // 2] if odd is not None and odd % 6 == 5 else text}\n"


def _odd(row: dict[str, Any], number: int, kind: int) -> dict[str, Any]:
    where = next(key for key in ("image_base64_str", "image_str", "img_str", "meta") if key in row)
    body = base64.b64decode(_picture(number))
    faults: tuple[Any, ...] = (
        "this is no Base64",
        _text(corrupt_jpeg(body)),
        _text(truncated(body)),
        [],
    )
    if kind % 6 >= len(faults):
        return {**row, **{key: " " for key in ("answer", "output", "outputs") if key in row}}
    fault = faults[kind % 6]
    if where == "meta":
        return {**row, "meta": {**row["meta"], "image_base64_str": fault}}
    return {**row, where: fault}


def _plain_row(number: int) -> dict[str, Any]:
    """Without an instruction: one is drawn."""
    return {
        "input": f"What is in the middle of picture {number}?",
        "img_str": _picture(number),
        "output": f"Something that begins with the letter {chr(97 + number % 26)}.",
    }


def _dialogue_row(number: int) -> dict[str, Any]:
    talk = "".join(
        f"\nQuestion: Is there a {noun}?\nAnswer: {'Yes' if (number + n) % 2 else 'No'}."
        for n, noun in enumerate(("person", "tree", "house")[: number % 4])
    )
    return {
        "answer": "It is outdoors.",
        "meta": {
            "instruction": "Go on with the dialogue. ",
            "inputs": f"Image Descriptions: Picture {number}.{talk}\nQuestion: Is it outdoors?",
            "image_base64_str": [_picture(number)],
        },
    }


def _frames_row(number: int) -> dict[str, Any]:
    return {
        "question": "What happens in these frames?",
        "image_str": [_picture(number + n) for n in range(4 + number % 8)],
        "answer": "The view changes from frame to frame.",
    }


_ROWS = {"m3it-visual-dialog": _dialogue_row, "m3it-ivqa": _frames_row}


def _picture(number: int) -> str:
    return _text(shipped_pictures().get(number % _VARIANTS, width_px=_WIDTH_PX).data)


def _text(body: bytes) -> str:
    return base64.b64encode(body).decode()
