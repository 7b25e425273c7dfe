"""Holds what VILA's two pickle formats share: options, and how samples of a shard become items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from gristmill.exports._dialect import registered
from gristmill.exports._exporter import Exported, FinishedShards, FittingExporter, option
from gristmill.exports._pickled_list import PickledList
from gristmill.exports._unfit import VIDEO_ENDINGS, Unfit
from gristmill.exports._vila_items import MOST_PICTURES, Form, ItemMaker, form_of
from gristmill.exports._writing import called, shard_samples
from gristmill.shards.not_finite import put_back
from gristmill.spec.errors import UsageError
from gristmill.spec.part_names import is_frames
from gristmill.spec.task import ShardInfo, digest_of
from gristmill.storage.store import Place

__all__ = ["ASKED_FOR", "VilaPickles", "account_of", "entry_of", "holds_conversations", "loader_of"]

ASKED_FOR: Mapping[str, str] = {
    "coyo-700m": "coyo_25m",
    "mmc4-core": "mmc4core",
    "vflan": "vflan",
    "gsm8k-screl": "math",
}
"""By recipe or mixture: the name by which the scripts of VILA's release ask for its pickles.

The registry of the same commit has the first as ``coyo``, so that a script as it is fails.
"""

_SPREAD = f"with {MOST_PICTURES} of their pictures, spread evenly"


def entry_of(dataset: FinishedShards, loader: str, out: Place) -> str:
    """The line by which VILA's release finds the folder under the name that its scripts ask for."""
    name = ASKED_FOR.get(dataset.name) or registered(dataset.name)
    where = {"dataset_name": name, "dataset_type": loader, "data_path": called(out)}
    said = ", ".join(f"{key}={json.dumps(value)}" for key, value in where.items())
    return (
        "# in llava/data/datasets_mixture.py of VILA's release (143c773), instead of an entry of this name\n"
        f"add_dataset(Dataset({said}))\n# in the script\n--data_mixture {name}"
    )


@dataclass(frozen=True, kw_only=True)
class VilaPickles(FittingExporter):
    """Pickled lists of plain dicts."""

    loses = "what the loader does not read, such as columns and the facts of pictures"
    to_stores: ClassVar[bool] = True

    spread_images: bool = option(
        False,
        f"Of more than {MOST_PICTURES} pictures of a question, take {MOST_PICTURES} evenly. Otherwise such samples "
        "do not fit.",
    )

    def maker_for(self, dataset: FinishedShards) -> ItemMaker:
        """Makes items in the form that the dataset's first sample asks for.

        Raises:
            UsageError: See :func:`loader_of`.
        """
        return ItemMaker(form=loader_of(dataset), spread=self.spread_images)

    def stamp(self, maker: ItemMaker, shards: Sequence[ShardInfo]) -> str:
        """Say what a pickle was made of and how, to be told from others when an export goes on."""
        return json.dumps(
            {
                "gristmill": 1,
                "form": maker.form,
                "shards": digest_of([shard.digest for shard in shards]),
                "leave_out": self.leave_out,
                "spread": self.spread_images and maker.form == "vflan",
            }
        )

    def stamps(self, maker: ItemMaker, shards: Sequence[ShardInfo]) -> tuple[str, ...]:
        """Stamps of pickles that are the same: where nothing had to be left out, nothing is with ``leave_out``."""
        strict = replace(self, leave_out=False)
        return self.stamp(maker, shards), strict.stamp(maker, shards)

    def add_shard(
        self, items: PickledList, dataset: FinishedShards, shard: ShardInfo, maker: ItemMaker, done: Exported
    ) -> None:
        """Append the samples of one shard.

        Raises:
            UsageError: One does not fit, or is for another loader than the first.
        """
        place = f"{dataset.folder}/{shard.path}"
        for sample in shard_samples(dataset.folder, shard):
            try:
                item, dropped = maker.item(sample.key, sample.parts)
                items.add(item)
            except Unfit as err:
                if not self.leave_out:
                    raise UsageError(
                        f"{place}: {err}. Leave such samples out, counted, with --leave-out."
                    ) from err
                done.reasons[err.kind] += 1
            except TypeError as err:
                raise UsageError(
                    f"{place}: sample {sample.key} cannot be pickled as plain data: {err}"
                ) from err
            except ValueError as err:
                raise UsageError(
                    f"{place}: {err}; the first sample is for VILA's {maker.form} loader, and a folder holds one "
                    "form. Export the parts of a mixture one by one; import the pickles of each form by themselves."
                ) from err
            else:
                if dropped:
                    done.changed[_SPREAD] += 1


def account_of(form: Form, file: str = "") -> Exported:
    """An account of nothing yet, for the loader of this form."""
    return Exported(form=form, reader=f"VILA's {form} loader", file=file)


def holds_conversations(dataset: FinishedShards) -> bool:
    """Say whether upstream has its samples as lists of turns, as LLaVA has, or of videos: the first of them tells."""
    folder = dataset.folder
    samples = (sample for shard in dataset.shards for sample in shard_samples(folder, shard, check=False))
    first = next(samples, None)
    if first is None:
        return False
    record = put_back(first.parts["json"])
    shown = {part["media"] for turn in record.get("turns") or () for part in turn["parts"] if "media" in part}
    if any(name.rpartition(".")[2] in VIDEO_ENDINGS for name in first.parts) or any(map(is_frames, shown)):
        return True
    upstream = record.get("upstream")
    return isinstance(upstream, dict) and isinstance(upstream.get("conversations"), list)


def loader_of(dataset: FinishedShards) -> Form:
    """The one of VILA's loaders that a dataset is for: its first sample's; all others must be for it too.

    Raises:
        UsageError: It holds no sample, or none that VILA's pickles can hold.
    """
    folder = dataset.folder
    samples = (sample for shard in dataset.shards for sample in shard_samples(folder, shard, check=False))
    first = next(samples, None)
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
