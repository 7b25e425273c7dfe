"""A recipe's rule for a host, over a whole run with two workers."""

import json

import pytest
from typed import by_entry_point, gristmill

from gristmill.testing.web import FakeWeb

RECIPE = '''
"""Pictures of one host."""

from gristmill.spec.host_rule import HostRule
from gristmill.spec.locator import Url
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import MediaRef, Sample, Show, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


def parse(row):
    """A picture."""
    media = {"image": MediaRef(at=Url(row["url"]))}
    return Sample(key="", media=media, turns=(Turn(role="caption", parts=(Show(media="image"),)),))


RULE = HostRule(
    host="HOST",
    connections=2,
    bits_per_s=200_000_000,
    needs_contact=True,
    width="w=([0-9]+)",
    widths=(64, 128),
)
RECIPE = Recipe(
    name="thumbs", version="2026.1.1", title="", description="", homepage="", license="cc0-1.0",
    sources=(Source(key="annotations", by_hand="Write it.", patterns=("*.jsonl",), format="jsonl"),),
    parse=parse, writes=frozenset({"media.url"}),
    steps=(
        TakeRows(columns=("url",), part_rows=12),
        Crawl(hosts=(RULE,), keep_original=True),
        Pack(shard_samples=100),
    ),
)
'''


@pytest.mark.slow
def test_two_workers_ask_a_host_as_its_rule_says(tmp_path):
    with FakeWeb(hosts=1, latency_s=0.02) as web:
        recipe = tmp_path / "thumbs.py"
        recipe.write_text(RECIPE.replace("HOST", web.origin().removeprefix("http://")))
        rows = [{"url": web.url(f"/photo/{n}.jpg?w={100 + n % 5}")} for n in range(72)]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        typed = (
            "run",
            recipe,
            "--out",
            tmp_path / "out",
            "--source",
            f"annotations={tmp_path / 'rows.jsonl'}",
        )
        refused = gristmill(*typed, "--allow-private-addresses", code=2)
        assert "add --contact" in refused.stderr
        assert not (tmp_path / "out").exists()
        by_entry_point(*typed, "--allow-private-addresses", "--contact", "me@example.org", "--workers", 2)
        assert web.peak_connections["127.0.0.1"] == 2
        assert set(web.hits) == {f"/photo/{n}.jpg?w=128" for n in range(72)}
        assert {request.headers["user-agent"] for request in web.log} == {"Gristmill/0.1 (+me@example.org)"}
    gristmill("verify", tmp_path / "out" / "thumbs")
    told = json.loads(gristmill("status", tmp_path / "out" / "thumbs", "--json").stdout)
    assert told["funnel"]
