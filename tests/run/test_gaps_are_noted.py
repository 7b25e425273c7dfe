"""A gap in a set of annotation files that looks complete is a note in the record."""

from dataclasses import replace

from document_world import document, job, run_here, write
from small_world import Watcher, totals

from gristmill.run.driver import run


def test_an_unknown_gap_is_noted_and_a_known_one_is_not(web, tmp_path):
    url = web.url("/photo/1.jpg?w=64&of=gaps")
    place = write(tmp_path / "src", {n: [document([url])] for n in (0, 1, 3, 5, 6)})
    one = job(place, tmp_path / "out")

    def load():
        recipe = one.load()
        source = replace(recipe.sources[0], files=5, gaps=(4,))
        return replace(recipe, sources=(source,))

    assert run(replace(one, load=load), Watcher()).complete
    assert totals(tmp_path / "out").notes == [
        "docs_no_face_shard_3_v3.jsonl: before it are missing, and upstream has them: 2"
    ]
    run_here(place, tmp_path / "few")
    assert totals(tmp_path / "few").notes == []
