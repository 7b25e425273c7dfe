"""The numbers of docs/scale.md follow from its constants."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
LISTS = {
    "COYO-700M whole": 747_000_000,
    "10^6 tasks": 5_000_000_000,
    "a list of 10 billion rows": 10_000_000_000,
}
DOCUMENTS, PICTURES = 5_500_000, 22_400_000
CLIPS, CLIP_ROWS = 900_000, 2_500
NODES = (10, 100, 1000)


def constants() -> dict[str, float]:
    found = re.findall(r"^\| `(\w)` \| .*? \| ([\d.,]+) \|", PAGE, re.M)
    return {name: float(value.replace(",", "")) for name, value in found}


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def whole(*values: float) -> str:
    return " to ".join(f"{value:,.0f}" for value in values)


def row(name: str, rows: int, of: dict[str, float]) -> str:
    tasks = rows / of["T"]
    return line(
        name,
        f"{rows:,}",
        f"{tasks:,.0f}",
        f"{tasks * of['R'] / 1e9:.2f} GB",
        f"{tasks / of['L']:,.0f}",
        f"{tasks * of['M'] / 1e9:.1f} GB",
        f"{tasks * of['C'] / 1000:.0f} s",
        whole(rows / 1000 * of["P"] / 3600, rows / 1000 * of["H"] / 3600),
    )


def test_every_row_follows_from_the_constants():
    for name, rows in LISTS.items():
        assert row(name, rows, constants()) in PAGE.splitlines()


def a_set(name: str, tasks: float, in_bytes: float | None, core_s: tuple[float, ...]) -> str:
    of = constants()
    hours = [seconds / 3600 for seconds in core_s]
    nodes = [each / of["K"] for each in hours]
    small = max(hours) < 1
    return line(
        name,
        f"{tasks:,.0f}",
        f"{in_bytes / 1e12:.1f} TB" if in_bytes else "not known",
        f"{hours[0]:.2f}" if small else whole(*hours),
        f"{nodes[0]:.2f}" if small else whole(*nodes),
        "not known" if in_bytes is None else f"{in_bytes / (of['N'] * 1e9) / 3600:.{2 if small else 0}f}",
    )


def test_node_hours_follow_from_the_constants():
    of, lines = constants(), PAGE.splitlines()
    coyo = LISTS["COYO-700M whole"]

    def pictures(count: int) -> tuple[float, float]:
        return count / 1000 * of["P"], count / 1000 * of["H"]

    for one in (
        a_set("COYO-700M whole", coyo / of["T"], coyo * of["S"], pictures(coyo)),
        a_set("MMC4-core-ff", DOCUMENTS / of["D"], PICTURES * of["S"], pictures(PICTURES)),
        a_set("FLAN, one million sampled", of["F"], of["G"] * 1e9, (of["Y"],)),
        a_set("900,000 clips", CLIPS / CLIP_ROWS, None, (CLIPS * of["v"], CLIPS * of["V"])),
    ):
        assert one in lines


def test_what_breaks_first_follows_from_the_constants():
    of, lines = constants(), PAGE.splitlines()
    for nodes in NODES:
        pictures = nodes * of["K"] * 1000 / of["P"]
        tasks = pictures / of["T"]
        assert (
            line(
                f"{nodes:,}",
                whole(pictures),
                f"{pictures * of['S'] / 1e9:,.0f} GB/s",
                whole(2 * pictures),
                f"{nodes * of['K'] * of['B']:,.0f}",
                f"{tasks:,.1f}",
                f"{tasks * of['Q']:,.0f}",
            )
            in lines
        )


def test_what_to_type_first_follows_from_the_constants():
    of, opening = constants(), PAGE.partition("\n## ")[0]
    a_node = of["K"] * 1000 / of["P"]
    assert f"A node has {of['K']:.0f} cores" in opening
    for said in (
        f"| 1 | the name service: {a_node:,.0f} pictures a second",
        f"| 10 | hosts that many rows name: {10 * of['K'] * of['B']:,.0f} connections to one |",
        f"`--per-host 1`: {10 * of['K']:,.0f} connections (at 100 nodes {100 * of['K']:,.0f})",
        f"| 100 | a single driver, from {of['T'] / of['Z'] / a_node:.0f} nodes on",
        f"address translation: {100 * a_node * of['S'] / 1e9:,.0f} GB/s",
        f"{1000 * a_node / of['T'] * of['Q']:,.0f} requests a second, of {of['W']:,.0f} that S3 gives a prefix",
    ):
        assert said in opening


def test_sentences_follow_from_the_constants():
    of, text = constants(), " ".join(PAGE.split())
    a_node = of["K"] * 1000 / of["P"]
    assert f"A node brings {a_node:,.0f} pictures a second" in text
    assert f"{2 * a_node / of['A']:.1f} pictures of each host" in text
    assert f"{a_node * of['S'] * 8 / 1e9:.1f} Gbit/s" in text
    assert f"{1 / of['Z']:.0f} tasks a second" in text
    assert f"{of['T'] / of['Z'] / a_node:.0f} nodes" in text
    assert f"{of['W'] / (1000 * a_node / of['T']):.0f} writes a task" in text
