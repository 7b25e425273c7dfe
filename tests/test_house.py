"""Rules of the house that no linter knows: names of classes, docstrings, tests that ask nobody."""

import ast
import re
import socket
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gristmill"
QUESTION = re.compile(r"(whether|what|which|where|how)\b", re.IGNORECASE)
DEFINED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def defined():
    """Each class and function of the package: its file and node."""
    return [
        (path.relative_to(SOURCE), node)
        for path in sorted(SOURCE.rglob("*.py"))
        for node in statements(ast.parse(path.read_text()))
        if isinstance(node, DEFINED)
    ]


def statements(node):
    """All that lie in it; expressions, of which there are ten times as many, are not looked into."""
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, ast.expr):
            yield inner
            yield from statements(inner)


def test_no_two_public_classes_have_one_name():
    places = defaultdict(list)
    for path, node in defined():
        hidden = any(name.startswith("_") and not name.startswith("__") for name in (*path.parts, node.name))
        if isinstance(node, ast.ClassDef) and not hidden:
            places[node.name].append(str(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_docstrings_of_public_things_open_with_what_they_do():
    """With a verb or a noun, not with a question that is left without an answer."""
    asked = [
        f"{path}:{node.lineno}: {node.name}"
        for path, node in defined()
        if not node.name.startswith("_") and QUESTION.match(ast.get_docstring(node) or "")
    ]
    assert asked == []


def test_no_test_leaves_this_machine() -> None:
    """Neither this process nor one that it starts. What is asked for is nonsense: nothing is sent to find out."""
    ask = "import socket; socket.getaddrinfo('example.org', object())"
    go = "import socket; socket.socket.connect(None, ('192.0.2.1', 80))"
    for code, error, said in ((ask, socket.gaierror, "not known"), (go, OSError, "unreachable")):
        with pytest.raises(error, match=said):
            exec(code)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert said in done.stderr
