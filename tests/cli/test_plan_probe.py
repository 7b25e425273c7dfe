"""``plan --probe``: a sample of the media is asked for, and says what may be expected of all."""

import json
import os
import signal
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typed import gristmill

from gristmill.testing.hub import FakeHub
from gristmill.testing.rows import write_coyo
from gristmill.testing.web import FakeWeb

PROBE = ("--allow-private-addresses", "--set", "crawl.tries=1", "--set", "crawl.stall_s=1")


@pytest.fixture(scope="module")
def web():
    with FakeWeb(hosts=6) as web:
        yield web


def probed(*words, **environment):
    done = gristmill("plan", *words, *PROBE, "--json", **environment)
    return json.loads(done.stdout)["probe"]


def listed(folder, web, rows, kept_of_ten):
    """A list of which so many in ten are there, over all hosts."""
    paths = [
        f"/photo/{n % 7}.jpg?w=64&n={n}" if n * 7 % 10 < kept_of_ten else f"/fault/404/{n}"
        for n in range(rows)
    ]
    urls = [web.url(path, n) for n, path in enumerate(paths)]
    pq.write_table(pa.table({"link": urls}), folder / "urls.parquet", row_group_size=300)
    return folder / "urls.parquet"


def test_the_interval_covers_the_share_that_is_there(tmp_path, web):
    web.forget()
    urls = listed(tmp_path, web, 2000, 6)
    found = probed(urls, "--probe", 100, "--url-column", "link", "--contact", "me@x.example", "--workers", 3)
    assert web.hits.total() == found["media"] == found["rows"] == 100
    assert all("me@x.example" in str(request) for request in web.log)
    assert found["low"] < 0.6 < found["high"]
    assert 0.1 < found["high"] - found["low"] < 0.3
    assert found["reasons"] == {"http_404": 100 - found["kept"]}
    assert found["hosts_asked"] == 6
    assert {host["reason"] for host in found["hosts"]} == {"http_404"}
    expected = found["expected"]
    assert expected["requests"] == 2000
    assert expected["kept_low"] < 1200 < expected["kept_high"]
    assert (
        expected["receive_bytes"] == round(found["received_bytes"] / 100 * 2000) > expected["store_bytes"] > 0
    )
    assert 0 <= expected["hours"] < 1
    assert expected["bound"]
    assert found["workers"] == 3
    assert os.listdir(tmp_path) == ["urls.parquet"], "nothing is written"


def test_one_host_and_a_share_below_what_is_expected(tmp_path, web):
    (tmp_path / "urls.txt").write_text("\n".join(web.url(f"/fault/404/{n}") for n in range(60)))
    told = gristmill("plan", tmp_path / "urls.txt", "--probe", "40", *PROBE, "--min-kept", "0.3").stdout
    assert "40 rows of the annotation file: lines from evenly spaced places" in told
    assert (
        "kept               0 of 40 (0 %) rows; of all, by this sample, 0.0 to 8.8 % (95 % interval; all lies"
        in told
    )
    assert "LESS THAN EXPECTED a run would end with exit code 3: 30 % are expected (--min-kept)" in told
    assert "worst host       127.0.0.1 40 of 40 lost (http_404)" in told


def test_rows_elsewhere_are_chosen_as_the_recipe_does(tmp_path, web):
    write_coyo(tmp_path, web, files=2, rows=150)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    with FakeHub({"kakaobrain/coyo-700m": tmp_path}) as hub:
        words = ("coyo-700m", "--probe", 10, "--source")
        found = probed(*words, "annotations=hf://datasets/kakaobrain/coyo-700m@main", HF_ENDPOINT=hub.url)
    assert found["rows_read"] == 50
    assert 5 <= found["rows"] == found["rows_chosen"] <= 10, (
        "those above the floor, the best fifth of each file"
    )
    assert 0 < found["moved_bytes"] <= size
    assert any("first rows" in said for said in found["biased"])
    near = probed(*words, f"annotations={tmp_path}")
    assert near["moved_bytes"] == 0
    assert near["biased"] == []
    assert 5 <= near["rows_chosen"] <= 10


def test_documents_are_counted_as_such(tmp_path, web):
    def document(n):
        gone = n % 2 == 0
        urls = [
            web.url(f"/photo/{n % 5}.jpg?w=64", n),
            web.url(f"/fault/404/{n}" if gone else "/photo/9.jpg?w=64"),
        ]
        images = [
            {"image_name": f"{n}-{i}.jpg", "raw_url": url, "matched_text_index": i, "matched_sim": 0.3}
            for i, url in enumerate(urls)
        ]
        return {
            "text_list": ["one", "two"],
            "url": "http://page.example/",
            "image_info": images,
            "similarity_matrix": [[0.3, 0.1], [0.1, 0.3]],
        }

    path = tmp_path / "docs_no_face_shard_0_v3.jsonl"
    path.write_text("".join(json.dumps(document(n)) + "\n" for n in range(24)))
    found = probed("mmc4-core", "--probe", 24, "--source", f"annotations={tmp_path}")
    assert found["several"]
    assert (found["kept"], found["rows"]) == (12, 24)
    assert found["reasons"] == {"http_404": 12}


def test_a_signal_ends_it_with_what_is_known(tmp_path, web):
    web.forget()
    paths = [web.url(f"/photo/1.jpg?w=64&n={n}", n) for n in range(12)] + [
        web.url(f"/fault/stall/{n}", 5) for n in range(6)
    ]
    (tmp_path / "urls.txt").write_text("\n".join(paths))

    def interrupt():
        until = time.monotonic() + 60
        while web.hits.total() < 18 and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    done = gristmill("plan", tmp_path / "urls.txt", "--probe", *PROBE, "--json", code=143)
    thread.join()
    found = json.loads(done.stdout)["probe"]
    assert (found["kept"], found["rows"], found["interrupted"]) == (12, 12, 6)
    assert found["low"] < 12 / 18, "what had no answer counts as lost at the lower end"
    assert "6 rows had no answer yet" in found["biased"][0]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("name", "body", "code", "said"),
    [
        ("empty.txt", b"", 3, "there is no row to ask for in"),
        ("header.csv", b"url\n", 3, "there is no row to ask for in"),
        ("other.csv", b"link\nx\n", 2, "other.csv has no column 'url'; it has link"),
        (
            "odd.jsonl",
            bytes(range(256)) * 9,
            1,
            "odd.jsonl: no line with other characters than ASCII is UTF-8",
        ),
        ("cut.parquet", b"PAR1" * 50, 1, "not readable as Parquet"),
        ("short.csv", b"url,text\nhttp://x\nhttp://y\n", 3, "none of 2 rows was chosen (bad_row 2)"),
    ],
)
def test_lists_of_which_nothing_can_be_asked(tmp_path, name, body, code, said):
    (tmp_path / name).write_bytes(body)
    told = gristmill("plan", tmp_path / name, "--probe", *PROBE, code=code).stderr
    assert said in told
    assert "gristmill-probe" not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("vila-v1.5", "--probe"),
            "those that crawl are coyo-700m, mmc4-core, wit: gristmill plan coyo-700m --probe",
        ),
        (("vflan", "--probe"), "vflan has several parts, and --probe asks for one; none of them crawls"),
        (("m3it", "--probe"), "m3it stands for m3it-clevr"),
        (("text-flan", "--probe"), "text-flan crawls no pictures: there is nothing to --probe"),
        (("coyo-700m", "--probe", "--offline"), "--probe asks for media, and --offline asks nobody"),
        (("coyo-700m", "--contact", "me@x.example"), "are for --probe: without it nobody is asked"),
        (("coyo-700m", "--probe", "0"), "0 is not in the range"),
    ],
)
def test_what_cannot_be_probed(words, said):
    assert said in gristmill("plan", *words, code=2).stderr


def test_the_list_of_a_mixture_is_named_to_be_probed(tmp_path):
    (tmp_path / "urls.jsonl").write_text('{"url": "http://127.0.0.1/a.jpg"}\n')
    (tmp_path / "mine.toml").write_text('[[part]]\nrecipe = "gsm8k-screl"\n[[part]]\nlist = "urls.jsonl"\n')
    told = gristmill("plan", tmp_path / "mine.toml", "--probe", code=2).stderr
    assert f"gristmill plan {tmp_path}/urls.jsonl --probe" in told
