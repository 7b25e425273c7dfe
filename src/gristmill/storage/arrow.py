"""pyarrow as a process of ours wants it: without pandas, which nobody here uses."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["without_pandas"]


class _NoPandas(importlib.abc.MetaPathFinder):
    """Says that there is no pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See :class:`importlib.abc.MetaPathFinder`."""
        if fullname == "pandas":
            raise ModuleNotFoundError("not looked for", name=fullname)
        return None


def without_pandas() -> None:
    """Have pyarrow take pandas for absent in this process, unless somebody has imported it already.

    pyarrow imports pandas, where it is installed, at its first conversion from Python objects, to ask whether they
    are pandas'. That costs each process 40 MB and a quarter of a second. It asks only once.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
