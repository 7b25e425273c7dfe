"""What the demo wants to know of a made-up upstream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from gristmill.spec.extras import install
from gristmill.testing.web import FakeWeb

__all__ = ["Play", "Upstream"]

Play = Callable[[Path, FakeWeb, int], AbstractContextManager[str]]
"""Given a folder of its own, the web and a number of rows: a context manager that yields the hub's address."""


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """One recipe's upstream.

    Attributes:
        play: Makes the annotation files, and serves them while its context lasts.
        settings: ``--set`` values for the demo: small shards, so that a small demo has several of everything.
        copies: Sources that are given as one's own copies: key to a path in the folder that ``play`` was given.
        exports: Formats of ``gristmill export`` that suit the recipe, to be named at the end.
        module, extra: A module that it wants, and the extra of Gristmill that has it; empty where it wants none.
    """

    play: Play
    settings: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    exports: tuple[str, ...] = ("vila",)
    module: str = ""
    extra: str = ""

    @property
    def missing(self) -> str:
        """Say how to have what it wants; empty where nothing is missing."""
        if not self.module or find_spec(self.module) is not None:
            return ""
        return install(self.extra)
