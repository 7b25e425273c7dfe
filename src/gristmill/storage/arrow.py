"""pyarrow as a process of ours wants it: without pandas, which nobody here uses, and with memory that stays small."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["pool_for_columns", "without_pandas"]


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


def pool_for_columns() -> str:
    """The memory pool, of those that this pyarrow was built with, for a process that reads file after file.

    Decompressed pages come and go by the megabyte, in several threads. The C library's allocator scatters them, and a
    worker's resident memory grows with every file: from 125 to 170 MB over 160 of them. With jemalloc it is 90 MB and
    stays there. A crawl, whose many threads use Arrow for a moment each, has 10 MB less with the system's.
    """
    import pyarrow as pa

    return "jemalloc" if "jemalloc" in pa.supported_memory_backends() else "system"
