"""Retrying samples with several pictures of a media source: the account of the pictures is that of one run."""

import json

from PIL import Image
from typed import gristmill

RECIPE = """
from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.spec.recipe import Recipe, Source
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

RECIPE = Recipe(
    name="pairs",
    version="2026.12.1",
    title="Pairs",
    description="Questions about two pictures.",
    homepage="https://example.org",
    license="cc0-1.0",
    sources=(
        Source(key="annotations", by_hand="Make it.", patterns=("*.json",), format="json"),
        Source(key="pictures", role="media", format="archives", by_hand="Make them."),
    ),
    parse=LlavaRecords(place=InFamilies((Family(prefix="", source="pictures"),))),
    writes=frozenset({"media.at"}),
    steps=(TakeRows(), Media(), Pack()),
)
"""


def test_pictures_that_came_later_are_counted_once(tmp_path):
    pictures, broken = tmp_path / "pictures", b"\x89PNG\r\n\x1a\n"
    pictures.mkdir()
    (tmp_path / "pairs.py").write_text(RECIPE)
    turns = [{"from": "human", "value": "<image><image>\nSame?"}, {"from": "gpt", "value": "No."}]
    pairs = [["0.png", "1.png"], ["2.png", "3.png"], ["4.png", "5.png"]]
    (tmp_path / "rows.json").write_text(
        json.dumps([{"image": pair, "conversations": turns} for pair in pairs])
    )

    def come(*numbers):
        for n in numbers:
            Image.new("RGB", (32, 32), (40 * n, 9, 9)).save(pictures / f"{n}.png")

    def told(folder):
        return json.loads(gristmill("status", folder, "--json").stdout)

    sources = ("--source", f"annotations={tmp_path / 'rows.json'}", "--source", f"pictures={pictures}")
    run = ("run", tmp_path / "pairs.py", *sources, "--workers", 0, "--out")
    retry = ("retry", tmp_path / "out/pairs", "--recipe", tmp_path / "pairs.py", *sources, "--workers", 0)
    come(0, 1, 3)
    (pictures / "5.png").write_bytes(broken)
    gristmill(*run, tmp_path / "out", code=None)
    come(2, 4)
    gristmill(*retry, "--reason", "no_file", code=None)
    come(5)
    reason = "truncated,undecodable,not_an_image"
    gristmill(*retry, "--reason", reason, code=None)
    gristmill(*run, tmp_path / "at-once")
    found = [
        json.loads((tmp_path / place / "pairs/dataset.json").read_text()) for place in ("out", "at-once")
    ]
    assert found[0]["documents"] == found[1]["documents"]
    assert found[0]["documents"]["images"] == {"kept": 6}
