"""``vila-v1.5`` whole on made-up upstreams: what waits, waits; then all is there; then a trainer has it."""

import json
import os
import pickle
import re
import shutil

import pytest
from typed import gristmill
from whole_vila import BY_HAND, write_world

from gristmill import mixtures
from gristmill.testing.hub import FakeHub
from gristmill.testing.web import FakeWeb

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POLITE = ("--contact", "me@example.org", "--allow-private-addresses")
WAIT = {"sharegpt4v-pretrain", "sharegpt4v-cap100k", "sherlock", "youcook2", "vatex", "video-chatgpt"}
STAGES = mixtures.groups()["vila-v1.5"]
PARTS = [part.name for stage in STAGES for part in mixtures.find(stage).parts]


def table(said: str) -> dict[str, list[str]]:
    """The lines at the end, by part: rows upstream, kept, share, size, state."""
    lines = said.rpartition("rows upstream")[2].splitlines()[1:]
    return {cells[0]: cells[1:] for line in lines if len(cells := re.split(r"\s{2,}", line.strip())) == 6}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder, and what was said before and after a person had put there what only a person can fetch."""
    base = tmp_path_factory.mktemp("vila")
    out, said = base / "out", []
    with FakeWeb(hosts=2) as web:
        repositories, copies = write_world(base / "upstream", web)
        given = [word for typed, place in copies.items() for word in ("--source", f"{typed}={place}")]
        run = ("run", "vila-v1.5", "--out", out, "--workers", 0, "--only", 8, *POLITE, *given)
        with FakeHub(repositories, any_revision=True) as hub:
            said.append(gristmill(*run, code=3, HF_ENDPOINT=hub.url))
            for name in BY_HAND:
                shutil.copytree(
                    base / "upstream/by-hand" / name, out / "sources" / name, copy_function=os.link
                )
            said.append(gristmill(*run, code=3, HF_ENDPOINT=hub.url))  # less is kept than of the real ones
    return out, *said


def test_what_waits_for_a_person_stops_nothing_else(prepared):
    rows = table(prepared[1].stdout)
    assert {name for name in PARTS if rows[name][-1].startswith("waits for you")} == WAIT
    assert {name for name in PARTS if rows[name][-1] == "finished"} == {*PARTS} - WAIT
    assert [rows[stage][-1] for stage in STAGES] == ["finished", "waits for its parts", "waits for its parts"]


def test_the_same_command_goes_on_when_it_is_there(prepared):
    out, _, again = prepared
    rows = table(again.stdout)
    assert {rows[name][-1] for name in (*PARTS, *STAGES)} == {"finished"}
    for stage in STAGES:
        parts = [part.name for part in mixtures.find(stage).parts]
        assert int(rows[stage][1]) == sum(int(rows[name][1]) for name in parts)
        assert all(int(rows[name][1]) for name in parts)
        gristmill("verify", out / stage)
    assert [rows[stage][1] for stage in STAGES] == [
        str(json.loads((out / stage / "dataset.json").read_text())["counts"]["packed"]) for stage in STAGES
    ]


def test_all_of_it_lies_in_one_tree_as_vilas_release_looks_for_it(prepared, tmp_path):
    """Names and places are those of its registry, read here by the lines that it is given."""
    out, to = prepared[0], tmp_path / "vila"
    for _ in range(2):
        told = gristmill("export", out, "--to", "vila", "--leave-out", "--out", to)
    lines = [
        dict(re.findall(r'(\w+)="([^"]*)"', line))
        for line in (to / "add_dataset.py").read_text().splitlines()
    ]
    found = {line["dataset_name"]: line for line in lines if line}
    assert len(found) == len(PARTS)
    assert not any(set(name) & set("+@*") for name in found)
    for name, said in found.items():
        place = to / said["data_path"]
        if said["dataset_type"] != "torch":
            counts = [int(path.read_text()) for path in place.glob("*.count")]
            assert (
                sum(counts) == sum(len(pickle.loads(path.read_bytes())) for path in place.glob("*.pkl")) > 0
            )
            continue
        rows = (
            [json.loads(line) for line in place.read_text().splitlines()] if ".jsonl" in place.name else None
        )
        rows = rows or json.loads(place.read_text())
        assert rows, name
        for row in rows:
            media = row.get("image") or row.get("video") or []
            for medium in [media] if isinstance(media, str) else media:
                assert (to / said["image_path"] / medium).is_file(), (name, medium)
    asked = re.findall(r"--data_mixture (\S+)", told.stdout)[:3]
    assert [len(one.split("+")) for one in asked] == [1, 3, 19]
    assert {one for names in asked for one in names.split("+")} == set(found)
    assert asked[1] == "coyo_25m+mmc4core+sharegpt4v_pretrain"
    listed = (to / "mixtures.yaml").read_text()
    assert all(f'"{stage}":' in listed for stage in STAGES)
    assert {path.name for path in to.iterdir() if path.name[0] != "."} == {
        "README.md", "add_dataset.py", "mixtures.yaml", "playground", "vila.yaml",
    }  # fmt: skip
