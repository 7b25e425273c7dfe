"""Conditions on a sample's columns, as a person types them: ``similarity >= 0.3``, ``language = en|de``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from gristmill.spec.columns import value_at
from gristmill.spec.errors import RecipeError
from gristmill.spec.sample import Json

__all__ = ["Condition"]

_FORM = re.compile(r"\s*(?P<column>.*?)\s*(?P<word>>=|<=|!=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition.

    Attributes:
        column: Name of the column, or a path into it as :func:`gristmill.spec.columns.value_at` reads it.
        word: ``>=``, ``<=``, ``>`` or ``<`` between numbers; ``=`` or ``!=`` between texts, where ``|`` stands
            between several values.
        values: What the column's value is compared with.
    """

    column: str
    word: str
    values: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Self:
        """A condition as it is typed.

        Raises:
            RecipeError: It is none.
        """
        found = _FORM.fullmatch(text)
        if found is None or not found["column"] or not found["value"]:
            raise RecipeError(
                f"{text!r} is no condition: expected a column, one of >= <= > < = != and a value, as 'score >= 0.3'"
            )
        word, value = found["word"], found["value"]
        if word in _ORDERS and _number(value) is None:
            raise RecipeError(f"{text!r}: {value!r} is no number, and {word} stands between numbers")
        return cls(
            column=found["column"], word=word, values=(value,) if word in _ORDERS else tuple(value.split("|"))
        )

    def has(self, row: Mapping[str, Json]) -> bool:
        """Say whether there is anything in the column."""
        return value_at(row, self.column) is not None

    def holds(self, row: Mapping[str, Json]) -> bool:
        """Say whether a row meets it; one without a value in the column does not."""
        value = value_at(row, self.column)
        if value is None:
            return False
        if self.word in _ORDERS:
            number = _number(value)
            return number is not None and _ORDERS[self.word](number, _number(self.values[0]))
        return (_text(value) in self.values) == (self.word == "=")


def _number(value: Json) -> float | None:
    """A finite number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Json) -> str:
    """As JSON writes what is not a text: ``true``, ``3``, ``0.5``."""
    return str(value).lower() if isinstance(value, bool) else str(value)
