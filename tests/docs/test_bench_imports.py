"""The benchmarks' modules stand in layers: none imports itself by way of others, within functions neither."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def imported(path: Path) -> set[str]:
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return {
        node.module.partition(".")[2] for node in nodes if node.module and node.module.startswith("bench.")
    }


def test_no_benchmark_imports_itself() -> None:
    order = list(TopologicalSorter({path.stem: imported(path) for path in BENCH.glob("*.py")}).static_order())
    assert order.index("figure") < order.index("bad_web") < order.index("figures") < order.index("__main__")
