"""WIT over whole runs, from VILA's JSON and from the TSV files; a made-up Wikimedia enforces that host's rules."""

import contextlib
import csv
import gzip
import http.client
import io
import json
import socket
import ssl
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
import trustme
from PIL import Image
from typed import gristmill

from gristmill.recipes._main_branch import VILA
from gristmill.shards.webdataset import read_samples
from gristmill.testing.hub import FakeHub
from gristmill.testing.wikimedia import FakeWikimedia

COLUMNS = [
    "language",
    "page_url",
    "image_url",
    "page_title",
    "section_title",
    "hierarchical_section_title",
    "caption_reference_description",
    "caption_attribution_description",
    "caption_alt_text_description",
    "mime_type",
    "original_height",
    "original_width",
    "is_main_image",
    "attribution_passes_lang_id",
    "page_changed_recently",
    "context_page_description",
    "context_section_description",
]
ORIGINALS = {
    "commons/Kite_0.jpg": 3000,
    "commons/Kite_1.JPG": 640,
    "en/A_kïte_&_co.png": 500,
    "commons/Kite_3.svg": 200,
    "commons/Kite_4.tif": 700,
    "commons/Kite_5.jpeg": 961,
}
PUBLISHED = "lossy-page1-500px-Kite_4.tif.jpg"


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A certificate of Wikimedia's host, and the file of the authority that signed it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("upload.wikimedia.org").configure_cert(context)
    pem = tmp_path_factory.mktemp("tls") / "authority.pem"
    authority.cert_pem.write_to_path(str(pem))
    return context, pem


@pytest.fixture
def wikimedia(tls, monkeypatch):
    found = socket.getaddrinfo

    def only_literals(host, *args, **kwargs):
        """The proxy looks names up; this machine knows none."""
        if not str(host)[-1].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", only_literals)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    with FakeWikimedia(ORIGINALS, tls[0]) as wikimedia:
        yield wikimedia


def row(original: str, **fields: str) -> dict[str, str]:
    """A row of the lists, of a picture as they have it: its address encoded, its width said."""
    given = {
        "language": "en",
        "image_url": quote(FakeWikimedia.url(original), safe=":/&"),
        "page_title": "Kites",
        "caption_reference_description": f'The "kite"\ncalled {original}',
        "original_width": str(ORIGINALS.get(original, 800)),
        "context_page_description": "A text.\n\nWith breaks,\tand a tab.",
    }
    return {**dict.fromkeys(COLUMNS, ""), **given, **fields}


def write_list(path, made: list[dict[str, str] | str]) -> None:
    """A file of the lists; a text among the rows is written as it is."""
    with gzip.open(path, "wt", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        for each in made:
            out.write(each) if isinstance(each, str) else table.writerow(each)


def command(out, wikimedia: FakeWikimedia, *more: object) -> tuple[object, ...]:
    return (
        "run", "wit", "--out", out, "--workers", 0, "--proxy", wikimedia.proxy, "--set", "expect.kept_share=0.3",
        *more,
    )  # fmt: skip


def kept(data) -> dict[str, tuple[dict, bytes]]:
    """What each sample says of itself, and its picture, by the end of the address that was asked."""
    found = {}
    for shard in sorted((data / "shards").glob("*.tar")):
        for sample in read_samples(shard):
            said = json.loads(sample.parts["json"])
            ((name, facts),) = said["media"].items()
            found[facts["url"].rpartition("/")[2]] = said, sample.parts[name]
    return found


def reasons(data) -> dict[int, str]:
    files = sorted((data / "fates").glob("*.parquet"))
    fates = [fate for file in files for fate in pq.read_table(file).to_pylist()]
    return {fate["row"]: fate["reason"] for fate in fates if fate["reason"] is not None}


def test_vilas_rows_from_the_hub_with_pictures_found_in_the_lists_or_by_their_names(wikimedia, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    found, again = row("en/A_kïte_&_co.png"), row("commons/Kite_0.jpg", original_width="9")
    write_list(lists / "wit_v1.train.all-00000-of-00010.tsv.gz", [row("commons/Kite_0.jpg"), found])
    write_list(lists / "wit_v1.train.all-00001-of-00010.tsv.gz", [row("commons/Kite_5.jpeg"), again])
    said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A kite."}]
    named = ["images/Kite_0.jpg", "A kïte & co.png", "nowhere", "Kite_1.JPG", "Kite_9.jpg", "Kite_5.jpeg"]
    records = [{"id": str(n), "image": name, "conversations": said} for n, name in enumerate(named)]
    upstream = {"wit_processed_538k.json": json.dumps(records, indent=4).encode()}
    with FakeHub({VILA: upstream}) as hub:
        typed = command(tmp_path, wikimedia, "--source", f"wit={lists}", "--contact", "me@example.org")
        told = gristmill(*typed, HF_ENDPOINT=hub.url)
    assert "3 of 6 pictures are in the 2 lists" in " ".join((told.stdout + told.stderr).split())
    assert reasons(tmp_path / "wit") == {2: "no_file", 4: "http_404"}
    made = kept(tmp_path / "wit")
    assert {name: said["upstream"]["id"] for name, (said, _) in made.items()} == {
        "960px-Kite_0.jpg": "0",
        "A_k%C3%AFte_&_co.png": "1",
        "Kite_1.JPG": "3",
        "960px-Kite_5.jpeg": "5",
    }
    assert not any(name.startswith("__") for said, _ in made.values() for name in said["upstream"])
    assert wikimedia.refused == []
    assert wikimedia.peak_connections["127.0.0.1"] <= 2
    gristmill("verify", tmp_path / "wit")


def test_the_lists_rows_with_breaks_in_quotes_one_bad_quote_and_every_kind_of_picture(wikimedia, tmp_path):
    bad = 'en\tp\t"' + "\t".join("x" * 14) + "\n"
    made = [*map(row, ORIGINALS), row("commons/Gone.jpg"), row("commons/Kite_0.jpg", language="de"), bad]
    made.append(row("commons/Kite_0.jpg", caption_reference_description=""))
    made.append(
        row("commons/Kite_1.JPG", image_url=FakeWikimedia.url("commons/Kite_1.JPG").replace("s:", ":"))
    )
    write_list(tmp_path / "wit_v1.train.all-00000-of-00010.tsv.gz", made)
    typed = command(tmp_path / "out", wikimedia, "--source", f"annotations={tmp_path}")
    assert "upload.wikimedia.org" in gristmill(*typed, code=2).stderr
    assert not wikimedia.log
    gristmill(*typed, "--contact", "me@example.org")
    data = tmp_path / "out/wit"
    assert reasons(data) == {6: "http_404", 7: "left_out", 8: "bad_row", 9: "empty_answer"}
    widths = {name: Image.open(io.BytesIO(body)).width for name, (_, body) in kept(data).items()}
    assert widths == {
        "960px-Kite_0.jpg": 960,
        "Kite_1.JPG": 640,
        "A_k%C3%AFte_&_co.png": 500,
        "960px-Kite_3.svg.png": 960,
        PUBLISHED: 500,
        "960px-Kite_5.jpeg": 960,
    }
    assert wikimedia.refused == []
    assert wikimedia.peak_connections["127.0.0.1"] <= 2
    assert {request.headers["user-agent"] for request in wikimedia.log if request.method == "GET"} == {
        "Gristmill/0.1 (+me@example.org)"
    }
    gristmill("verify", data)


@pytest.mark.parametrize(
    ("agent", "asked", "status"),
    [
        ("Gristmill/0.1", "960px-Kite_0.jpg", 403),
        ("Gristmill/0.1 (+me@example.org)", "800px-Kite_0.jpg", 429),
        ("Gristmill/0.1 (+me@example.org)", "3840px-Kite_0.jpg", 400),
        ("Gristmill/0.1 (+me@example.org)", "960px-Kite_0.jpg", 200),
    ],
)
def test_the_made_up_server_enforces_the_rules(agent, asked, status, tls, wikimedia):
    """Else the runs above would show nothing."""
    trusting = ssl.create_default_context(cafile=tls[1])
    with contextlib.closing(
        http.client.HTTPSConnection("127.0.0.1", wikimedia.port, context=trusting)
    ) as asking:
        asking.set_tunnel("upload.wikimedia.org", 443)
        asking.request(
            "GET", f"/wikipedia/commons/thumb/c/cc/Kite_0.jpg/{asked}", headers={"User-Agent": agent}
        )
        answer = asking.getresponse()
        assert answer.read()
    assert answer.status == status
    assert len(wikimedia.refused) == (status != 200)
