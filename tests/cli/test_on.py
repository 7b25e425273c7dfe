"""``--on EXECUTOR``: where tasks run."""

import pytest
from typed import gristmill


@pytest.mark.parametrize(
    "words",
    [
        ("crawl", "urls.txt", "--out", "out"),
        ("import", "pickles", "--from", "vila", "--out", "out"),
        ("run", "coyo-700m", "--out", "out"),
        ("run", "vflan", "--out", "out"),
        ("mix", "vflan", "--out", "out"),
        ("retry", "."),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_an_executor_that_there_is_none_of_is_refused_before_anything_is_done(tmp_path, words):
    said = gristmill(*words, "--on", "nowhere", code=2, cwd=tmp_path).stderr
    assert said == "gristmill: There is no executor 'nowhere'. Known: in-process, local, ray.\n"
    assert not list(tmp_path.iterdir())


def test_a_cluster_that_nobody_named_is_asked_for_before_the_list_is(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    words = ("crawl", "urls.txt", "--out", "out", "--contact", "me@example.org", "--on", "ray")
    said = gristmill(*words, "--workers", "1000", code=2, cwd=tmp_path).stderr
    assert "nothing says where the cluster is. Give RAY_ADDRESS=HOST:6379" in said
    for address, code, told in (
        ("127.0.0.1:9", 1, "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9: "),
        ("ray://127.0.0.1:10001", 2, "give HOST:6379, the address of the head for nodes"),
    ):
        monkeypatch.setenv("RAY_ADDRESS", address)
        assert told in gristmill(*words, code=code, cwd=tmp_path).stderr
