"""Hosts that never answer cost a run about one time-out, and hold up nobody meanwhile."""

from collections import Counter

from small_world import run_here, write_list

from gristmill.ledger.fates import read_fates

MANY = 100
SETTINGS = {
    "crawl.in_flight": "16",
    "crawl.per_host": "3",
    "crawl.stall_s": "1",
    "crawl.host_patience_s": "0.5",
    "crawl.tries": "3",
    "rows.part_rows": "50",
}
SILENT = {1, 4, 7}
"""Of ten URLs, those whose hosts accept connections and never answer."""


def make_list(web, path):
    urls = [web.url(f"/photo/{n % 12}.jpg?w=160&n={n}", n % 2) for n in range(MANY)]
    for n in range(MANY):
        if n % 10 in SILENT:
            urls[n] = web.url(f"/fault/stall/{n}", 2 + n % 10 // 3)
    return write_list(path, urls)


def test_what_a_silent_host_is_not_asked_for_has_its_fate(web, tmp_path):
    place, folder = make_list(web, tmp_path / "list.parquet"), tmp_path / "out"
    ended, _ = run_here(place, folder, settings=SETTINGS, workers=1)
    assert ended.complete
    asked = Counter(request.address for request in list(web.log) if request.path.startswith("/fault/"))
    assert set(asked.values()) == {3}  # side by side
    columns = ["row", "reason", "detail"]
    fates = [row for batch in read_fates(folder / "fates", columns) for row in batch.to_pylist()]
    assert sorted(row["row"] for row in fates) == list(range(MANY))
    assert {row["row"] for row in fates if row["reason"]} == {n for n in range(MANY) if n % 10 in SILENT}
    assert {row["reason"] for row in fates} == {None, "stalled"}
    unasked = [
        row for row in fates if (row["detail"] or "").startswith("not asked: the host has answered nothing")
    ]
    assert len(unasked) == 3 * MANY // 10 - 9
