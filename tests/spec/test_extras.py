"""What to type for the libraries of an extra is what the package itself asks for."""

import importlib.metadata
import shlex
import tomllib
from pathlib import Path

import pytest

from gristmill.spec.extras import install

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", ["cloud", "duckdb", "lance", "ray", "video"])
def test_the_libraries_are_named_with_their_versions(extra):
    assert shlex.split(install(extra)) == ["pip", "install", *EXTRAS[extra]]


def test_conditions_are_no_part_of_what_is_typed(monkeypatch):
    lines = ["a>=1", 'b>=2; extra == "x"', "c; python_version < '4' and extra == 'x'", 'd; extra == "xy"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    assert install("x") == "pip install 'b>=2' c"


def test_sources_that_were_not_installed_are_named_by_their_folder(monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert install("cloud") == "pip install '.[cloud]'"
