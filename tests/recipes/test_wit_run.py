"""WIT from its TSV: quoted line breaks, a stray quote, other languages, over a whole run on the made-up web."""

import csv
import gzip
import json
import tarfile

import pyarrow.parquet as pq
from typed import gristmill

from gristmill.testing.web import FakeWeb

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


def rows(web: FakeWeb) -> list[dict[str, str]]:
    made = []
    for n in range(12):
        made.append(
            dict.fromkeys(COLUMNS, "")
            | {
                "language": "de" if n == 3 else "en",
                "image_url": web.url(f"/photo/{n}.jpg" if n != 4 else "/gone.jpg"),
                "page_title": f"Kites {n}",
                "caption_reference_description": f'The "kite"\nof number {n}',
                "original_width": "640",
                "context_page_description": "A text.\n\nWith breaks,\tand a tab.",
            }
        )
    return made


def write_list(path, made: list[dict[str, str]]) -> None:
    with gzip.open(path, "wt", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(made)


def test_pictures_of_vilas_rows_are_found_in_the_lists_by_name(tmp_path):
    with FakeWeb(hosts=1) as web:
        made = rows(web)
        lists = tmp_path / "lists"
        lists.mkdir()
        made[7]["image_url"] = web.url("/photo/A%20k%C3%AFte.jpg")
        again = {**made[1], "image_url": web.url("/fault/404/1.jpg"), "original_width": "9"}
        write_list(lists / "wit_v1.train.all-00000-of-00010.tsv.gz", made[:6])
        write_list(lists / "wit_v1.train.all-00001-of-00010.tsv.gz", [*made[6:], again])
        said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A kite."}]
        named = ["images/1.jpg", "A_kïte.jpg", "nowhere", "3.jpg"]
        records = [{"id": str(n), "image": name, "conversations": said} for n, name in enumerate(named)]
        (tmp_path / "wit_processed_538k.json").write_text(json.dumps(records, indent=4))
        typed = ("run", "wit", "--out", tmp_path, "--workers", 0, "--contact", "me@example.org")
        typed = (*typed, "--allow-private-addresses", "--set", "expect.kept_share=0.5")
        typed = (*typed, "--source", f"annotations={tmp_path / 'wit_processed_538k.json'}")
        told = gristmill(*typed, "--source", f"wit={lists}")
        assert set(web.hits) == {"/photo/1.jpg", "/photo/3.jpg", "/photo/A%20k%C3%AFte.jpg"}
    assert "3 of 4 pictures are in the 2 lists" in " ".join((told.stdout + told.stderr).split())
    (shard,) = (tmp_path / "wit" / "shards").glob("*.tar")
    with tarfile.open(shard) as tar:
        kept = [json.load(tar.extractfile(name)) for name in tar.getnames() if name.endswith(".json")]
    assert [one["upstream"]["id"] for one in kept] == ["0", "1", "3"]
    assert not any(name.startswith("__") for name in kept[0]["upstream"])


def test_a_tsv_with_breaks_in_quotes_and_one_bad_quote(tmp_path):
    with FakeWeb(hosts=1) as web:
        path = tmp_path / "wit_v1.train.all-00000-of-00010.tsv.gz"
        with gzip.open(path, "wt", newline="", encoding="utf-8") as out:
            table = csv.DictWriter(out, COLUMNS, delimiter="\t", lineterminator="\n")
            table.writeheader()
            made = rows(web)
            table.writerows(made[:6])
            out.write('en\tp\t"' + "\t".join("x" * 14) + "\n")
            table.writerows(made[6:])
        typed = ("run", "wit", "--out", tmp_path, "--workers", 0, "--source", f"annotations={path}")
        typed = (*typed, "--allow-private-addresses", "--set", "expect.kept_share=0.5")
        assert "upload.wikimedia.org" in gristmill(*typed, code=2).stderr
        gristmill(*typed, "--contact", "me@example.org")
    fates = [
        fate
        for file in sorted((tmp_path / "wit" / "fates").glob("*.parquet"))
        for fate in pq.read_table(file).to_pylist()
    ]
    reasons = {fate["row"]: fate["reason"] for fate in fates if fate["reason"] is not None}
    assert reasons == {3: "left_out", 4: "http_404", 6: "bad_row"}
    told = json.loads(gristmill("status", tmp_path / "wit", "--json").stdout)
    kept = next(level for level in told["funnel"] if level["level"] == "kept")
    assert kept["count"] == 10
    gristmill("verify", tmp_path / "wit")
