"""Dialogues of several pictures and turns, some without any picture: funnel, retry and report."""

import json
from functools import partial

import pytest
from document_world import SETTINGS, last_fates, samples
from made_dataset import write_report
from small_world import Watcher, totals

from gristmill.ledger.documents import documents
from gristmill.ledger.funnel import funnel
from gristmill.run.begin import Job
from gristmill.run.driver import run
from gristmill.run.maintenance.reopen import add_round, open_dataset, planner_of
from gristmill.spec.locator import Url
from gristmill.spec.recipe import Recipe, Source
from gristmill.spec.sample import MediaRef, Sample, Show, Text, Turn
from gristmill.steps.crawl import Crawl
from gristmill.steps.pack import Pack
from gristmill.steps.rows import TakeRows


def parse(row):
    """Three pictures, or none: all but the last before the first question, the last within the second."""
    media = {f"{n:03d}": MediaRef(at=Url(url)) for n, url in enumerate(row["pictures"])}
    first, second = list(media)[:-1], list(media)[-1:]
    turns = (
        Turn(role="user", parts=(*(Show(media=name) for name in first), Text(text="What are these?"))),
        Turn(role="assistant", parts=(Text(text="Photographs."),)),
        Turn(role="user", parts=(Text(text="And this?"), *(Show(media=name) for name in second))),
        Turn(role="assistant", parts=(Text(text="Another."),)),
    )
    return Sample(key=f"talk_{row['id']}", media=media, turns=turns)


def recipe(place, settings):
    made = Recipe(
        name="talks",
        version="2026.1.1",
        title="Dialogues",
        description="Made up.",
        homepage="",
        license="CC0-1.0",
        sources=(Source(key="talks", path=str(place), patterns=("*.jsonl",), format="jsonl"),),
        parse=parse,
        steps=(TakeRows(), Crawl(), Pack()),
    )
    return made.with_settings(settings)


def job(place, folder, settings):
    given = {**SETTINGS, "rows.part_rows": "2", "rows.parts": "1", **settings}
    return Job(load=partial(recipe, place, given), reference="talks.py", folder=folder)


@pytest.mark.parametrize(("on_missing", "kept_first"), [("drop_document", 3), ("drop_image", 5)])
def test_dialogues_of_three_pictures(web, tmp_path, on_missing, kept_first):
    def photo(n):
        return web.url(f"/photo/{n}.jpg?w=64&of=talks")

    web.put("/ill/talk", b"ill", status=500)
    ill, gone = web.url("/ill/talk"), web.url("/fault/404/8")
    pictures = [
        [photo(1), photo(2), photo(3)],
        [photo(4), ill, photo(5)],  # one lost
        [gone, ill, gone],  # all lost
        [],
        [],
        [photo(6), photo(7), gone],
    ]
    place = tmp_path / "in"
    place.mkdir()
    lines = [json.dumps({"id": n, "pictures": urls}) for n, urls in enumerate(pictures)]
    (place / "a.jsonl").write_text("\n".join(lines))
    made = job(place, tmp_path / "out", {"crawl.on_missing_image": on_missing})
    assert run(made, Watcher()).complete

    def account():
        levels = funnel(totals(made.folder), open_dataset(made.folder).config)
        assert levels.adds_up
        assert levels.complete
        assert levels.count("annotated") == 6
        assert levels.count("kept") == levels.count("packed") == len(samples(made.folder))
        found = documents(totals(made.folder), levels)
        assert found is not None
        assert found.image_count == 12
        stored = sum(
            len(parts) - ("json" in parts) - ("txt" in parts) for parts in samples(made.folder).values()
        )
        assert found.images["kept"] == stored
        return found

    first = account()
    assert (first.kept, first.complete) == (kept_first, 3)

    web.put("/ill/talk", web.pictures.get(3, "jpg", 200).data, content_type="image/jpeg")
    web.hits.clear()
    opened = open_dataset(made.folder)
    if on_missing == "drop_image":  # kept without it, so no dialogue was lost for it
        assert not add_round(opened, planner_of(opened, made.load()), ("http_5xx",))
    else:
        assert add_round(opened, planner_of(opened, made.load()), ("http_5xx",))
        assert run(made, Watcher()).complete
        assert web.hits["/ill/talk"] == 1
        assert "/photo/4.jpg?w=64&of=talks" not in web.hits
        second = account()
        assert (second.kept, second.complete) == (4, 4)
        assert last_fates(made.folder)["a.jsonl", 1, "001.jpg"] is None
    page = write_report(made.folder).read_text()
    assert "6 documents annotated" in page
    assert "http_404" in page


def test_pictures_of_the_second_turn_stay_there(web, tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    urls = [web.url(f"/photo/{n}.jpg?w=64&of=turns") for n in range(2)] + [web.url("/fault/404/3")]
    (place / "a.jsonl").write_text(json.dumps({"id": 0, "pictures": [urls[0], urls[2], urls[1]]}))
    run(job(place, tmp_path / "out", {"crawl.on_missing_image": "drop_image"}), Watcher())
    (parts,) = samples(tmp_path / "out").values()
    said = json.loads(parts["json"])
    assert [name for name in parts if name.endswith(".jpg")] == ["000.jpg", "002.jpg"]
    shown = [[piece.get("media") for piece in turn["parts"] if "media" in piece] for turn in said["turns"]]
    assert shown == [["000.jpg"], [], ["002.jpg"], []]
