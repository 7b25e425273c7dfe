"""VILA's pickles out of finished shards: a folder of parts and their counts, or one pickle for a whole dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gristmill.exports._writing import Exported, check_folder, shard_samples
from gristmill.shards.not_finite import put_back
from gristmill.shards.unfit import Unfit
from gristmill.shards.vila import PickledList, part_names, stamp_of
from gristmill.shards.vila_items import Form, ItemMaker, form_of
from gristmill.shards.webdataset import ShardSample
from gristmill.spec.errors import UsageError
from gristmill.spec.task import ShardInfo, digest_of
from gristmill.storage.files import whole_file, write_whole

__all__ = ["Manner", "export_parts", "export_whole", "loader_of"]

_SHARDED = "VILA's loader counts what lies in the folder"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_UNSHARDED = "beside it VILA's vflan loader reads every .pkl, and a .count would make it look for parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How samples that the loader cannot read are dealt with.

    Attributes:
        leave_out: Leave them out and count them; else the first one ends the export.
        spread: Of more pictures than the loader takes, take as many as it does, evenly spread.
    """

    leave_out: bool = False
    spread: bool = False


def export_parts(folder: Path, shards: list[ShardInfo], out: Path, manner: Manner) -> Iterator[Exported]:
    """Write ``part-NNNNN.pkl`` and ``.count`` for each shard, in the form that its samples' turns ask for.

    Parts already written from the same shard in the same manner are passed over, so that a killed export goes
    on and ends with the same bytes.

    Yields:
        The same account after each shard.

    Raises:
        UsageError: ``out`` holds something else, or a sample does not fit.
    """
    maker = _maker(folder, shards, manner)
    names = {name for number in range(len(shards)) for name in part_names(number)}
    check_folder(out, names, _SHARDED)
    done = Exported(form=maker.form)
    for number, shard in enumerate(shards):
        pickle_name, count_name = part_names(number)
        stamp = _stamp(maker, manner, [shard])
        if not (out / count_name).exists():  # written last, so it says that the pickle is whole
            with whole_file(out / pickle_name) as stream:
                items = PickledList(stream, stamp)
                _add_shard(items, folder, shard, maker, manner, done)
                items.close()
            write_whole(out / count_name, items.count_text())
            count = items.count
        else:
            count = _count_of(out, pickle_name, count_name, stamp)
        done.shards += 1
        done.samples += count
        done.left_out += shard.samples - count
        yield done


def export_whole(
    folder: Path, shards: list[ShardInfo], out: Path, name: str, manner: Manner
) -> Iterator[Exported]:
    """Write one ``NAME.pkl`` of all shards, as VILA's vflan loader reads a folder without counts.

    Yields:
        The same account after each shard.

    Raises:
        UsageError: ``out`` holds something else than pickles, or a sample does not fit.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: expected letters, digits, dots, dashes or underscores, without .pkl"
        )
    maker = _maker(folder, shards, manner)
    if maker.form != "vflan":
        raise UsageError(
            f"{folder} is for VILA's {maker.form} loader, which reads parts with counts only. Export it with "
            "--to vila."
        )
    path = out / f"{name}.pkl"
    neighbours = {entry.name for entry in out.glob("*.pkl")} if out.is_dir() else set()
    check_folder(out, {*neighbours, path.name}, _UNSHARDED)
    done = Exported(form=maker.form, file=path.name)
    stamp = _stamp(maker, manner, shards)
    if path.exists() and stamp_of(path) != stamp:
        raise UsageError(
            f"{path} is there and was made of something else. Remove it, or choose another --name."
        )
    if path.exists() and not manner.leave_out:
        done.shards, done.samples = len(shards), sum(shard.samples for shard in shards)
        yield done
        return
    with whole_file(path) as stream:
        items = PickledList(stream, stamp)
        for shard in shards:
            _add_shard(items, folder, shard, maker, manner, done)
            done.shards, done.samples = done.shards + 1, items.count
            done.left_out = done.reasons.total() - done.reasons["pictures_spread"]
            yield done
        items.close()


def loader_of(folder: Path, shards: list[ShardInfo]) -> Form:
    """The one of VILA's loaders that a dataset is for: its first sample's; all others must be for it too.

    Raises:
        UsageError: It holds no sample, or none that VILA's pickles can hold.
    """
    first = next((sample for shard in shards for sample in shard_samples(folder, shard, check=False)), None)
    if first is None:
        raise UsageError(f"{folder}: its shards hold no sample.")
    record = put_back(first.parts["json"])
    form = form_of(record)
    if form is None:
        roles = ", ".join(sorted({turn["role"] for turn in record["turns"]}))
        raise UsageError(
            f"{folder}: sample {first.key} has turns of {roles}, and VILA's pickles hold captions, documents, or "
            "questions of a user with answers of an assistant."
        )
    return form


def _maker(folder: Path, shards: list[ShardInfo], manner: Manner) -> ItemMaker:
    return ItemMaker(form=loader_of(folder, shards), spread=manner.spread)


def _stamp(maker: ItemMaker, manner: Manner, shards: list[ShardInfo]) -> str:
    """What a pickle was made of and how."""
    made_of = digest_of([shard.digest for shard in shards])
    spread = manner.spread and maker.form == "vflan"
    return json.dumps(
        {
            "gristmill": 1,
            "form": maker.form,
            "shards": made_of,
            "leave_out": manner.leave_out,
            "spread": spread,
        }
    )


def _add_shard(
    items: PickledList, folder: Path, shard: ShardInfo, maker: ItemMaker, manner: Manner, done: Exported
) -> None:
    for sample in shard_samples(folder, shard):
        _add(items, sample, maker, manner, done, folder / shard.path)


def _add(
    items: PickledList, sample: ShardSample, maker: ItemMaker, manner: Manner, done: Exported, place: Path
) -> None:
    try:
        item, dropped = maker.item(sample.key, sample.parts)
        items.add(item)
    except Unfit as err:
        if not manner.leave_out:
            raise UsageError(f"{place}: {err}. Leave such samples out, counted, with --leave-out.") from err
        done.reasons[err.kind] += 1
    except TypeError as err:
        raise UsageError(f"{place}: sample {sample.key} cannot be pickled as plain data: {err}") from err
    except ValueError as err:
        raise UsageError(
            f"{place}: {err}; the first sample is for VILA's {maker.form} loader, and a folder holds one form. "
            "Export the parts of a mixture one by one; import the pickles of each form by themselves."
        ) from err
    else:
        if dropped:
            done.reasons["pictures_spread"] += 1


def _count_of(out: Path, pickle_name: str, count_name: str, stamp: str) -> int:
    """The count of a part written before, which must be of the same shard and manner."""
    text = (out / count_name).read_text(errors="replace").strip()
    if not (out / pickle_name).exists() or stamp_of(out / pickle_name) != stamp or not text.isdigit():
        raise UsageError(
            f"{out / pickle_name} was made of another dataset or with other options. Name an empty folder with --out."
        )
    return int(text)
