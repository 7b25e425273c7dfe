"""Folders that change, crawled by the command, and loaded by the real ``datasets`` through one cache."""

from pathlib import Path

import pytest
from typed import gristmill

from gristmill.testing.web import FakeWeb

QUICK = ("--allow-private-addresses", "--workers", "0", "--set", "crawl.tries=1")


@pytest.mark.slow
def test_a_full_run_after_a_trial_and_a_retry_are_loaded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def loaded(folder: Path) -> list[str]:
        found = datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
        return sorted(row["json"]["url"].rpartition("/")[2] for row in found)

    with FakeWeb() as web:
        fails = [f"/late{n}.jpg" for n in range(5)]
        for path in fails:
            web.put(path, b"", status=503)
        good = [f"/photo/{n}.jpg" for n in range(20)]
        urls = tmp_path / "urls.txt"
        urls.write_text("\n".join(map(web.url, [*good, *fails])))
        trial, full = tmp_path / "trial" / "pictures", tmp_path / "full" / "pictures"
        gristmill("crawl", urls, "--out", trial, "--only", "8", *QUICK)
        assert loaded(trial) == sorted(f"{n}.jpg" for n in range(8))
        gristmill("crawl", urls, "--out", full, *QUICK)
        assert loaded(full) == sorted(f"{n}.jpg" for n in range(20))
        for path in fails:
            web.put(path, web.pictures.get(1, "jpg", 64).data, content_type="image/jpeg")
        gristmill("retry", full, "--reason", "http_5xx", "--allow-private-addresses")
        assert loaded(full) == sorted([f"{n}.jpg" for n in range(20)] + [path[1:] for path in fails])
        assert loaded(trial) == sorted(f"{n}.jpg" for n in range(8))
