"""The numbers of docs/scale.md follow from its constants."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
LISTS = {
    "COYO-700M whole": 747_000_000,
    "10^6 tasks": 5_000_000_000,
    "a list of 10 billion rows": 10_000_000_000,
}


def constants() -> dict[str, float]:
    found = re.findall(r"^\| `(\w)` \| .*? \| ([\d.,]+) \|", PAGE, re.M)
    return {name: float(value.replace(",", "")) for name, value in found}


def row(name: str, rows: int, of: dict[str, float]) -> str:
    tasks = rows / of["T"]
    cells = (
        f"{rows:,}",
        f"{tasks:,.0f}",
        f"{tasks * of['R'] / 1e9:.2f} GB",
        f"{tasks / of['L']:,.0f}",
        f"{tasks * of['M'] / 1e9:.1f} GB",
        f"{tasks * of['C'] / 1000:.0f} s",
        f"{rows / 1000 * of['P'] / 3600:,.0f} to {rows / 1000 * of['H'] / 3600:,.0f}",
    )
    return f"| {' | '.join((name, *cells))} |"


def test_every_row_follows_from_the_constants():
    for name, rows in LISTS.items():
        assert row(name, rows, constants()) in PAGE.splitlines()
