"""What was found out about a medium, from its fate into the sample."""

from __future__ import annotations

from dataclasses import replace

from gristmill.spec.fate import FACTS, Fate
from gristmill.spec.sample import MediaRef

__all__ = ["with_facts"]


def with_facts(ref: MediaRef, fate: Fate) -> MediaRef:
    """The medium with the facts of a fate; those that the fate does not know are empty."""
    return replace(ref, **{name: getattr(fate, name) for name in FACTS})
