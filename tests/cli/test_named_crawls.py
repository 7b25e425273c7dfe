"""Crawls with names of their own: what their metadata files say, and a mixture of them."""

from __future__ import annotations

import json

import pytest
from typed import gristmill

from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0")
MIXTURE = """from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="pets",
    version="2026.12.1",
    title="Pets",
    description="Cats and dogs.",
    homepage="https://example.org",
    license="other",
    parts=(Part(name="cats", prefix="c"), Part(name="old-dogs", prefix="d")),
    shuffle=Shuffle(seed=1, shards=2),
)
"""


def test_words_stand_in_the_metadata_files_and_two_crawls_are_mixed(tmp_path):
    with FakeWeb() as web:
        for n, name in enumerate(("cats", "dogs")):
            (tmp_path / f"{name}.txt").write_text(web.url(f"/photo/{n}.jpg?w=64"))
        cats = ("crawl", tmp_path / "cats.txt", "--out", tmp_path / "cats", *QUICK, "--name", "cats")
        told = gristmill(*cats, "--title", "Catz", "--license", "CC-BY-4.0")
        assert "cats 2026" in told.stderr
        assert "1 list" in told.stderr
        assert "1  rows in the list" in told.stdout
        assert "annotation" not in told.stdout + told.stderr
        words = ("--title", "Cats", "--license", "CC-BY-4.0", "--description", "All cats.")
        gristmill(*cats, *words)  # words may change
        gristmill(*cats[:-1], "cots", code=2)  # a name may not
        gristmill("crawl", tmp_path / "dogs.txt", "--out", tmp_path / "dogs", *QUICK)  # of no name
    manifest = json.loads((tmp_path / "cats/dataset.json").read_text())
    assert [manifest[key] for key in ("name", "title", "license", "description")] == [
        "cats",
        "Cats",
        "CC-BY-4.0",
        "All cats.",
    ]
    card = (tmp_path / "cats/README.md").read_text()
    assert 'license: "cc-by-4.0"' in card
    assert "# Cats\n\nAll cats." in card
    assert "<>" not in card
    (tmp_path / "pets.py").write_text(MIXTURE)
    mix = ("mix", tmp_path / "pets.py", "--out", tmp_path)
    said = gristmill(*mix, code=3).stderr
    assert f"gristmill crawl URLS --name old-dogs --out {tmp_path / 'old-dogs'}" in said
    gristmill(*mix, "--source", f"old-dogs={tmp_path / 'dogs'}", "--workers", "0")
    assert json.loads((tmp_path / "pets/dataset.json").read_text())["counts"]["packed"] == 2


@pytest.mark.parametrize("name", ["", "Cats", "my cats", "../x", "1", "ca_ts"])
def test_names_that_are_none(tmp_path, name):
    (tmp_path / "a.txt").write_text("http://a.example/")
    gristmill("crawl", tmp_path / "a.txt", "--out", tmp_path / "out", "--name", name, code=2)
    assert not (tmp_path / "out").exists()
