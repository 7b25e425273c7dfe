"""The stages of a training by one name: what waits is told first, the rest is prepared, a line a part at the end."""

import json
import re

import pytest
from typed import gristmill

from gristmill import mixtures
from gristmill.sources import cc3m
from gristmill.testing.hub import FakeHub
from gristmill.testing.upstreams.llava_cc3m_595k import write_llava_cc3m

ROWS, ODD = 120, 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """``vila-v1.5`` as far as a hub that holds one of its datasets lets it come; what was said of each stage."""
    base = tmp_path_factory.mktemp("vila")
    write_llava_cc3m(base / "upstream", ROWS)
    with FakeHub({cc3m.REPOSITORY: base / "upstream"}, revision=cc3m.REVISION) as hub:
        align = gristmill(
            "run", "vila-v1.5", "--out", base / "out", "--stage", "align", "--workers", 0, HF_ENDPOINT=hub.url
        )
        words = ["--have", f"coyo-700m={base / 'out' / 'llava-cc3m-595k'}", "--workers", 0]
        pretrain = gristmill(
            "run",
            "vila-v1.5",
            "--out",
            base / "out",
            "--stage",
            "pretrain",
            *words,
            code=None,
            HF_ENDPOINT=hub.url,
        )
        waiting = gristmill(
            "run", "vila-v1.5", "--out", base / "out", "--stage", "pretrain", "--workers", 0, code=None,
            HF_ENDPOINT=hub.url,
        )  # fmt: skip
    return base / "out", align, pretrain, waiting


def table(said: str) -> dict[str, list[str]]:
    """The lines at the end, by part: rows upstream, kept, share, size, state."""
    lines = said.partition("rows upstream")[2].splitlines()[1:]
    return {cells[0]: cells[1:] for line in lines if len(cells := re.split(r"\s{2,}", line.strip())) == 6}


def test_all_stages_have_parts_that_are_known():
    assert mixtures.groups()["vila-v1.5"] == ("vila-v1.5-align", "vila-v1.5-pretrain", "vila-v1.5-sft")


def test_a_stage_whose_parts_are_there_is_mixed_without_a_copy(prepared):
    out, align, *_ = prepared
    made = json.loads((out / "vila-v1.5-align" / "dataset.json").read_text())
    assert made["complete"]
    assert made["counts"]["packed"] == ROWS - ODD
    assert not (out / "vila-v1.5-align" / "shards").exists()
    rows = table(align.stdout)
    assert rows["llava-cc3m-595k"][:2] == [f"{ROWS}", f"{ROWS - ODD}"]
    assert rows["vila-v1.5-align"][-1] == "finished"


def test_what_is_given_as_a_part_must_be_that_part(prepared):
    assert prepared[2].returncode == 2
    assert "holds 'llava-cc3m-595k', not 'coyo-700m'" in prepared[2].stderr


def test_what_waits_is_told_first_and_at_the_end(prepared):
    out, *_, waiting = prepared
    assert waiting.returncode not in (0, None)
    assert waiting.stderr.index("waits for you") < waiting.stderr.index("coyo-700m:")
    rows = table(waiting.stdout)
    assert rows["sharegpt4v-pretrain"][-1].startswith("waits for you: ")
    assert rows["vila-v1.5-pretrain"][-1] == "waits for its parts"
    page = (out / "vila-v1.5.html").read_text()
    assert "waits for you" in page
    assert '"llava-cc3m-595k/report.html"' not in page  # that is of another stage


def test_status_of_the_folder_ends_with_a_line_for_each(prepared):
    rows = table(gristmill("status", prepared[0]).stdout)
    assert rows["llava-cc3m-595k"][-1] == "finished"
    assert rows["vila-v1.5-align"][1] == f"{ROWS - ODD}"
    assert rows["sharegpt4v-pretrain"][-1].startswith(
        "waits for you: "
    )  # not begun, and there as on the page
    assert rows["vila-v1.5-pretrain"][-1] == "waits for its parts"


def test_licences_of_a_part_that_is_a_mixture(tmp_path):
    said = gristmill("plan", "vila-v1.5", "--stage", "sft").stdout
    assert re.search(r"\n  vflan +cc-by-4.0, other", said)
    bound = re.search(r"not for commercial use: (.*)", said)[1]
    assert "youcook2" in bound


def test_plan_of_all_stages(prepared):
    out = prepared[0]
    said = gristmill("plan", "vila-v1.5", "--out", out).stdout
    assert said.index("wait for you") < said.index("samples") < said.index("licences")
    assert "not for commercial use" in said
    plans = json.loads(gristmill("plan", "vila-v1.5", "--json").stdout)
    assert [planned["name"] for planned in plans] == list(mixtures.groups()["vila-v1.5"])
    assert sum(len(planned["parts"]) for planned in plans) == 23


def test_a_copy_of_what_only_some_parts_have_is_theirs_and_waits_no_more(tmp_path):
    def waiting(*words):
        said = gristmill("plan", "vila-v1.5", "--out", tmp_path, "--json", *words).stdout
        parts = [part for planned in json.loads(said) for part in planned["parts"]]
        return {part["part"] for part in parts if part["state"] == "waits for you"}

    both = {"sharegpt4v-pretrain", "sharegpt4v-cap100k"}
    assert waiting() - waiting("--source", "*.sam=none") == both
    said = gristmill("plan", "vila-v1.5", "--out", tmp_path).stdout
    assert "--source '*.sam'=PATH" in said
    assert "--source sherlock.vcr=PATH" in said
    for folder in ("sources/videos/0123456789abcdef", "sources/kinetics-videos"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "sources/kinetics-videos/a.mp4").touch()
    assert waiting() & {"youcook2", "vatex", "video-chatgpt"} == {"youcook2", "video-chatgpt"}


def test_what_no_part_is_called_is_refused_before_anything_begins(tmp_path):
    for words in (
        ["--source", "coyo.annotations=x"],
        ["--set", "coyo.select.share=0.1"],
        ["--source", "*.nothing=x"],
        ["--stage", "tune"],
    ):
        gristmill("run", "vila-v1.5", "--out", tmp_path, *words, code=2)
    gristmill("run", "gsm8k-screl", "--out", tmp_path, "--stage", "sft", code=2)
    gristmill("run", "gsm8k-screl", "--out", tmp_path, "--have", "a=b", code=2)
    assert not list(tmp_path.iterdir())


def test_show_and_list_know_the_name():
    assert "stage 2: pretrain" in gristmill("show", "vila-v1.5").stdout
    assert len(json.loads(gristmill("show", "vila-v1.5", "--json").stdout)) == 3
    assert "vila-v1.5 " in gristmill("list").stdout
