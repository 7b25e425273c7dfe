"""Mixtures: every sample once, in one order over all, the same bytes whoever does it."""

import random
from collections import Counter
from fractions import Fraction

import numpy as np
import orjson
import pytest
from small_parts import (
    PARTS,
    bytes_of,
    job,
    key,
    keys_of,
    mix_here,
    mix_in_process,
    samples_of,
    write_mixture,
    write_part,
    write_parts,
)
from small_world import NO_MANIFEST, temporaries

from gristmill.ledger.funnel import funnel
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.mixture_parts import parts_account
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.totals import total
from gristmill.run.driver import run
from gristmill.run.maintenance.verify import verify
from gristmill.spec.errors import ByHandSource, DamagedOutput, DriftError, UsageError

EACH = [key(part, n) for part, (_, samples) in PARTS.items() for n in range(samples)]


@pytest.fixture
def out(tmp_path):
    return write_parts(tmp_path / "out")


@pytest.fixture
def mixture(tmp_path):
    return write_mixture(tmp_path / "small.py")


def flat(shards):
    return [one for shard in shards for one in shard]


def test_every_sample_once_as_it_was_in_shards_of_one_size(out, mixture):
    ended, _ = mix_here(mixture, out)
    assert ended.complete
    shards = samples_of(out / "small")
    assert sorted(one.key for one in flat(shards)) == sorted(EACH)
    assert {len(shard) for shard in shards} == {len(EACH) // 8, len(EACH) // 8 + 1}
    before = {one.key: one.parts for part in PARTS for one in flat(samples_of(out / part))}
    assert {one.key: one.parts for one in flat(shards)} == before
    assert [one.key for one in flat(shards)] != EACH
    assert len({one.key.rpartition("_")[0] for one in shards[0]}) > 1  # parts are mixed within a shard


def test_reads_back_without_a_remark(out, mixture):
    mix_here(mixture, out)
    result = verify(Ledger(out / "small"), threads=1, decode=False, tell=lambda so_far: None)
    assert (result.problems, result.remarks, result.samples) == ([], NO_MANIFEST, len(EACH))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"shuffle.copy": "true"}, marks=pytest.mark.slow),
        pytest.param({"shuffle.order": "published"}, marks=pytest.mark.slow),
    ],
)
def test_the_bytes_depend_on_nobody(out, mixture, tmp_path, settings):
    wanted = None
    for workers in (0, 3):
        folder = tmp_path / f"w{workers}"
        mix_here(mixture, folder, parts_in=out, workers=workers, settings=settings)
        wanted = wanted or bytes_of(folder / "small")
        assert bytes_of(folder / "small") == wanted


def test_a_copy_for_slow_disks_gives_the_same_bytes(out, mixture, tmp_path):
    mix_here(mixture, out)
    mix_here(mixture, tmp_path / "copied", parts_in=out, settings={"shuffle.copy": "true"})
    assert bytes_of(out / "small") == bytes_of(tmp_path / "copied" / "small")


@pytest.mark.parametrize("shards", [1, 4, 6, 131])
def test_the_published_order(out, mixture, shards):
    """Equal to the published way, computed in memory: concatenate, shuffle, cut, drop what is over."""
    settings = {"shuffle.order": "published", "shuffle.seed": "1", "shuffle.shards": str(shards)}
    mix_here(mixture, out, settings=settings)
    everything = [one.key for part in sorted(PARTS) for one in flat(samples_of(out / part))]
    random.Random(1).shuffle(everything)
    size = len(everything) // shards
    assert keys_of(out / "small") == [everything[i * size : (i + 1) * size] for i in range(shards)]
    over = len(everything) - size * shards
    assert total(Ledger(out / "small").records.values()).stage("scatter").dropped == (
        Counter(tail=over) if over else Counter()
    )
    notes = total(Ledger(out / "small").records.values()).notes
    assert any(f"leaves out the {over:,}" in note for note in notes) == bool(over)


def test_fewer_samples_than_shards(tmp_path):
    write_part(tmp_path / "out" / "c-one", shards=1, samples=3)
    mixture = write_mixture(tmp_path / "small.py", ["c-one"], "shards=128")
    for order in ("seeded", "published"):
        folder = tmp_path / order
        ended, _ = mix_here(mixture, folder, parts_in=tmp_path / "out", settings={"shuffle.order": order})
        assert ended.complete
        assert sorted(map(len, keys_of(folder / "small"))) == [1, 1, 1]
        assert "fewer than 128 shards" in total(Ledger(folder / "small").records.values()).notes[0]


@pytest.mark.parametrize("weight", ["0.25", "0.1", "1.5", "3", "0.999"])
def test_weights(tmp_path, weight):
    write_parts(tmp_path / "out")
    mixture = write_mixture(
        tmp_path / "small.py", {"a-pictures": "", "b-text": f"weight={weight}", "c-one": ""}
    )
    ended, _ = mix_here(mixture, tmp_path / "out")
    assert ended.complete
    folder = tmp_path / "out" / "small"
    found = flat(keys_of(folder))
    assert len(set(found)) == len(found)
    taken = int(Fraction(weight) * 101 + Fraction(1, 2))
    ours = [name for name in found if name.startswith("b-text")]
    assert len(ours) == taken
    copies = Counter(name[: len("b-text_000000")] for name in ours)
    wanted = {key("b-text", n): (n + 1) * taken // 101 - n * taken // 101 for n in range(101)}
    assert copies == Counter({name: n for name, n in wanted.items() if n})
    assert all(orjson.loads(one.parts["json"])["key"] == one.key for one in flat(samples_of(folder)))
    check_accounts(folder)


def check_accounts(folder):
    config, ledger = RunConfig.read(folder), Ledger(folder)
    for account in parts_account(config, ledger):
        assert account.waiting == 0
        assert account.samples + account.repeated == account.kept + account.dropped.total()
    levels = funnel(total(ledger.records.values()), config)
    assert levels.complete
    assert levels.adds_up
    assert levels.count("packed") == sum(account.kept for account in parts_account(config, ledger))
    fates = sum(s.samples for r in ledger.records.values() for s in r.outputs if s.role == "fates")
    assert fates == sum(account.dropped.total() for account in parts_account(config, ledger))


def test_a_prefix_keeps_keys_apart(tmp_path):
    for name in ("a-text", "b-text"):
        write_part(tmp_path / "out" / name, keys="same")
    mixture = write_mixture(tmp_path / "small.py", {"a-text": "", "b-text": "prefix='b-'"})
    mix_here(mixture, tmp_path / "out")
    found = flat(keys_of(tmp_path / "out" / "small"))
    assert sorted(found) == sorted(f"{p}same_{n:06d}" for p in ("", "b-") for n in range(20))


@pytest.mark.parametrize("at_once", [7, 1 << 23])
def test_keys_that_parts_have_in_common_are_refused(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("gristmill.run.stages._keys._AT_ONCE", at_once)
    for name in ("a-text", "b-text"):
        write_part(tmp_path / "out" / name, keys="same")
    mixture = write_mixture(tmp_path / "small.py", ["a-text", "b-text"])
    with pytest.raises(UsageError, match=r"same_0000\d\d.*prefix"):
        mix_here(mixture, tmp_path / "out")
    assert not list((tmp_path / "out" / "small").glob("shards/*"))


def test_keys_are_compared_in_several_passes(out, mixture, monkeypatch):
    monkeypatch.setattr("gristmill.run.stages._keys._AT_ONCE", 7)
    assert mix_here(mixture, out)[0].complete


def test_parts_of_the_input_may_be_scattered_apart(out, mixture, tmp_path):
    whole, apart = tmp_path / "whole", tmp_path / "apart"
    mix_here(mixture, whole, parts_in=out)
    ends = [
        mix_here(mixture, apart, parts_in=out, span=span)[0].complete for span in ((4, 6), (0, 2), (2, 4))
    ]
    assert ends == [False, False, True]
    assert bytes_of(whole / "small") == bytes_of(apart / "small")


def test_shares_are_scattered_apart(out, mixture, tmp_path):
    whole, apart = tmp_path / "whole", tmp_path / "apart"
    mix_here(mixture, whole, parts_in=out)
    for number in (3, 1, 2):
        ended, _ = mix_here(mixture, apart, parts_in=out, share=(number, 3))
        ledger = Ledger(apart / "small")
        scattered = {int(record.task_id, 16) % 3 + 1 for record in ledger.of("placing")}
        ledger.close()
        assert scattered <= {3, 1, number}
    assert ended.complete
    assert bytes_of(whole / "small") == bytes_of(apart / "small")


def test_two_processes_share_the_work(out, mixture, tmp_path):
    mix_here(mixture, tmp_path / "alone", parts_in=out)
    both = [mix_in_process(mixture, tmp_path / "both", parts_in=str(out), workers=1) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 75]), said
    assert bytes_of(tmp_path / "both" / "small") == bytes_of(tmp_path / "alone" / "small")
    assert temporaries(tmp_path / "both") == []


def test_a_changed_part_is_refused(out, mixture):
    mix_here(mixture, out)
    before = bytes_of(out / "small")
    write_part(out / "b-text", shards=2, samples=102, version="2026.12.1")
    with pytest.raises(DriftError, match=r"parts.b-text.version.*2026.11.1.*2026.12.1"):
        mix_here(mixture, out)
    assert bytes_of(out / "small") == before


def test_other_settings_are_refused(out, mixture):
    mix_here(mixture, out)
    with pytest.raises(DriftError, match=r"shuffle.seed.*was 3.*is 4"):
        mix_here(mixture, out, settings={"shuffle.seed": "4"})


def test_a_part_that_is_missing_or_unfinished_or_elsewhere(out, mixture, tmp_path):
    (out / "c-one").rename(tmp_path / "moved")
    with pytest.raises(ByHandSource, match="gristmill run c-one --out"):
        mix_here(mixture, out)
    with pytest.raises(ByHandSource, match=rf"is not in {tmp_path}/gone\..*\n.*lies in {tmp_path}/c-one\.$"):
        mix_here(mixture, out, sources={"c-one": str(tmp_path / "gone")})
    ended, _ = mix_here(mixture, out, sources={"c-one": str(tmp_path / "moved")})
    assert ended.complete
    manifest = tmp_path / "moved" / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    with pytest.raises(ByHandSource, match="not finished"):
        mix_here(mixture, out, sources={"c-one": str(tmp_path / "moved")})


@pytest.mark.parametrize("how", ["flip", "cut", "garbage"])
def test_a_damaged_shard_of_a_part_stops_it(out, mixture, how):
    path = out / "b-text" / "shards" / "00001.tar"
    body = bytearray(path.read_bytes())
    if how == "flip":
        body[len(body) // 2] ^= 1
    elif how == "cut":
        del body[-20_000:]
    else:
        body[:] = random.Random(0).randbytes(len(body))
    path.write_bytes(body)
    with pytest.raises(DamagedOutput, match=r"b-text.*00001.tar"):
        mix_here(mixture, out)


def test_a_lost_shard_is_made_anew_after_cleaning(out, mixture):
    mix_here(mixture, out)
    before = bytes_of(out / "small")
    ledger = Ledger(out / "small")
    scattered = [s.path for r in ledger.stage("scatter") for s in r.outputs if s.role == "index"]
    ledger.release(scattered)
    for path in scattered:
        (out / "small" / path).unlink()
    ledger.close()
    (out / "small" / "shards" / "00003.tar").unlink()
    ended, watcher = mix_here(mixture, out)
    assert ended.complete
    assert any("made anew" in said for said in watcher.said)
    assert bytes_of(out / "small") == before


def test_nothing_at_all(tmp_path):
    write_part(tmp_path / "out" / "c-one", shards=1, samples=0)
    ended = run(job(write_mixture(tmp_path / "m.py", ["c-one"]), tmp_path / "out"), mix_watcher())
    assert ended.complete
    assert keys_of(tmp_path / "out" / "small") == []


def mix_watcher():
    from small_world import Watcher

    return Watcher()


def test_places_are_spread_evenly(tmp_path):
    """Each output shard draws on each part by its share: a chi-square over the table of both."""
    write_parts(tmp_path / "out", {"a-text": (4, 600), "b-text": (2, 300), "c-text": (1, 300)})
    mixture = write_mixture(tmp_path / "small.py", ["a-text", "b-text", "c-text"], "shards=6")
    mix_here(mixture, tmp_path / "out")
    table = np.array(
        [
            [sum(k.startswith(p) for k in shard) for p in "abc"]
            for shard in keys_of(tmp_path / "out" / "small")
        ]
    )
    wanted = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    assert ((table - wanted) ** 2 / wanted).sum() < 25.2  # 10 degrees of freedom, p = 0.005
