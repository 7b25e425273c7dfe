"""robots.txt, the other policy files, and a mirror in a whole run: what is marked where."""

import json

from small_world import run_here, totals, write_list

from gristmill.ledger.fates import read_fates
from gristmill.shards.webdataset import read_samples


def outcome(folder):
    columns = ["row", "reason", "via", "final_url", "tries", "opt_out", "detail"]
    fates = {row["row"]: row for batch in read_fates(folder / "fates", columns) for row in batch.to_pylist()}
    records = {}
    for shard in sorted((folder / "shards").glob("*.tar")):
        for sample in read_samples(shard):
            record = json.loads(sample.parts["json"])
            records[record["origin"]["row"]] = record
    return fates, records


def test_what_came_from_a_mirror_says_so_in_the_fates_and_in_the_sample(web, tmp_path):
    urls = [web.url("/photo/1.jpg?w=160"), web.url("/fault/404/2"), web.url("/fault/403/3")]
    place = write_list(tmp_path / "list.parquet", urls)
    mirror = web.url("/photo/77.jpg?w=160&of={url}", host=5)
    settings = {"crawl.mirror": mirror, "crawl.mirror_per_second": "50"}
    run_here(place, tmp_path / "out", settings=settings)
    fates, records = outcome(tmp_path / "out")
    assert [fates[row]["reason"] for row in range(3)] == [None, None, "http_403"]
    assert [fates[row]["via"] for row in range(3)] == [None, "127.0.0.6", None]
    assert fates[1]["final_url"].startswith(web.url("/photo/77.jpg", host=5))
    assert fates[1]["tries"] == 2
    assert records[1]["via"] == "127.0.0.6"
    assert records[1]["url"] == urls[1]
    assert "via" not in records[0]


def test_robots_txt_is_obeyed_in_a_run_only_if_so_set(web, tmp_path):
    web.put("/robots.txt", b"User-agent: gristmill\nDisallow: /photo/2\n")
    urls = [web.url(f"/photo/{n}.jpg?w=160") for n in (1, 2, 3)]
    place = write_list(tmp_path / "list.parquet", urls)
    run_here(place, tmp_path / "plain")
    assert web.hits["/robots.txt"] == 0
    run_here(place, tmp_path / "obeying", settings={"crawl.robots": "true"})
    assert web.hits["/robots.txt"] == 1
    fates, records = outcome(tmp_path / "obeying")
    assert [fates[row]["reason"] for row in range(3)] == [None, "robots", None]
    assert set(records) == {0, 2}


def test_tdmrep_json_and_ai_txt_are_obeyed_in_a_run_only_if_so_set(web, tmp_path):
    rules = [{"location": "/photo/2.*", "tdm-reservation": 1}]
    web.put("/.well-known/tdmrep.json", json.dumps(rules).encode())
    web.put("/ai.txt", b"User-Agent: *\nDisallow: *.png\n")
    urls = [web.url(f"/photo/{name}?w=160") for name in ("1.jpg", "2.jpg", "3.png")]
    place = write_list(tmp_path / "list.parquet", urls)
    run_here(place, tmp_path / "plain")
    assert web.hits["/.well-known/tdmrep.json"] == web.hits["/ai.txt"] == 0
    run_here(place, tmp_path / "obeying", settings={"crawl.tdmrep": "true", "crawl.ai_txt": "true"})
    assert web.hits["/.well-known/tdmrep.json"] == web.hits["/ai.txt"] == 1
    fates, records = outcome(tmp_path / "obeying")
    assert [fates[row]["reason"] for row in range(3)] == [None, "opted_out", "opted_out"]
    assert not totals(tmp_path / "obeying").hosts  # an opt-out is no failure
    assert [fates[row]["opt_out"] for row in range(3)] == [
        None,
        "tdmrep.json: tdm-reservation=1",
        "ai.txt: disallow",
    ]
    assert "tdmrep.json: /photo/2.*" in fates[1]["detail"]
    assert set(records) == {0}
