"""Retrying samples with several pictures of a media source: the account of the pictures is that of one run."""

import json

from PIL import Image
from typed import gristmill

from gristmill.testing.archives import zipped
from gristmill.testing.hub import FakeHub

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


MIXTURE = """
from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

MIXTURE = Mixture(
    name="mine",
    version="2026.12.1",
    title="Mine",
    description="All pairs twice.",
    homepage="https://example.org",
    license="other",
    parts=(Part(name="pairs", weight=2),),
    shuffle=Shuffle(shards=1),
)
"""


def test_a_mixture_of_a_recipe_of_ones_own_takes_it_where_it_is_finished(tmp_path):
    (tmp_path / "pairs.py").write_text(RECIPE.replace('frozenset({"media.at"})', "frozenset()"))
    said = gristmill("show", tmp_path / "pairs.py", code=2).stderr
    assert "writes=frozenset({'media.at'}) into the recipe" in said
    (tmp_path / "pairs.py").write_text(RECIPE)
    (tmp_path / "mine.py").write_text(MIXTURE)
    turns = [{"from": "human", "value": "Two?"}, {"from": "gpt", "value": "No."}]
    (tmp_path / "rows.json").write_text(json.dumps([{"conversations": turns}]))
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures/0.png")
    out = ("--out", tmp_path / "out")
    for command in ("plan", "run"):
        said = gristmill(command, tmp_path / "mine.py", *out, code=3).stderr
        assert f"Prepare it by its own file: gristmill run FILE.py --out {tmp_path / 'out'}" in said
    sources = (
        "--source",
        f"annotations={tmp_path / 'rows.json'}",
        "--source",
        f"pictures={tmp_path / 'pictures'}",
    )
    gristmill("run", tmp_path / "pairs.py", *out, *sources, "--workers", 0)
    gristmill("run", tmp_path / "mine.py", *out, "--workers", 0)
    assert json.loads((tmp_path / "out/mine/dataset.json").read_text())["counts"]["packed"] == 2


TWO = """
from gristmill.recipes._llava import Family, InFamilies, LlavaRecords
from gristmill.spec.recipe import Recipe, Source
from gristmill.steps.media import Media
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows

RECIPE = Recipe(
    name="two",
    version="2026.12.1",
    title="Two",
    description="Questions about pictures of two sources.",
    homepage="https://example.org",
    license="cc0-1.0",
    sources=(
        Source(key="annotations", hub="made/up", revision="main", patterns=("rows.json",), format="json"),
        Source(
            key="public", role="media", format="archives", hub="made/up", revision="main", patterns=("public.zip",)
        ),
        Source(key="own", role="media", format="archives", by_hand="Make them."),
    ),
    parse=LlavaRecords(
        place=InFamilies((Family(prefix="public/", source="public"), Family(prefix="own/", source="own")))
    ),
    writes=frozenset({"media.at"}),
    steps=(TakeRows(), Media(), Pack()),
)
"""


def test_a_retry_asks_for_no_source_that_is_not_named(tmp_path):
    """The hub may be down by then, and its main branch is another."""
    (tmp_path / "two.py").write_text(TWO)
    body = tmp_path / "0.png"
    Image.new("RGB", (8, 8)).save(body)
    turns = [{"from": "human", "value": "<image>\\nWhat?"}, {"from": "gpt", "value": "Black."}]
    rows = [{"image": name, "conversations": turns} for name in ("public/0.png", "own/0.png", "own/1.png")]
    upstream = {
        "rows.json": json.dumps(rows).encode(),
        "public.zip": zipped(tmp_path / "public.zip", {"0.png": body.read_bytes()}).read_bytes(),
    }
    own = tmp_path / "own"
    own.mkdir()
    (own / "0.png").write_bytes(body.read_bytes())
    given = ("--source", f"own={own}", "--workers", 0)
    with FakeHub({"made/up": upstream}) as hub:
        run = ("run", tmp_path / "two.py", "--out", tmp_path / "out", *given)
        gristmill(*run, code=None, HF_ENDPOINT=hub.url)
    (own / "1.png").write_bytes(body.read_bytes())
    retry = ("retry", tmp_path / "out/two", "--recipe", tmp_path / "two.py", "--reason", "no_file", *given)
    gristmill(*retry, HF_ENDPOINT=hub.url)
    status = json.loads(gristmill("status", tmp_path / "out/two", "--json").stdout)
    assert (status["counts"]["packed"], status["dropped"]) == (3, {})
    gristmill("verify", tmp_path / "out/two")
