"""VILA's folders of numbered pickles, with a count beside each, out of finished shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill.exports._exporter import Exported, Exporter, FinishedShards
from gristmill.exports._pickled_list import PickledList, part_names, stamp_of
from gristmill.exports._vila import VilaPickles, account_of, entry_of, holds_conversations
from gristmill.exports._vila_tree import PICKLES, join_tree, part_folder, pickle_folder
from gristmill.exports._writing import check_folder, written
from gristmill.exports.vila_conversations import REGISTRY, VilaConversations
from gristmill.spec.command import to_type
from gristmill.spec.errors import UsageError
from gristmill.storage.store import Place, Store, store_at

__all__ = ["EXPORTER", "Vila"]


@dataclass(frozen=True, kw_only=True)
class Vila(VilaPickles):
    """A pickle a shard, for that of VILA's loaders that fits."""

    writes = (
        "part-NNNNN.pkl and .count (a pickle runs code when it is loaded: load only your own); of what upstream has "
        "as conversations, what vila-conversations writes; of all datasets in DIR that VILA's release knows one "
        "playground/data"
    )
    reads = "captions for the loader coyo, documents for mmc4, or questions and answers for vflan"

    @property
    def takes_several(self) -> bool:
        """Each has the place that the release's registry has for it."""
        return True

    def why_alone(self, dataset: FinishedShards) -> str:
        """The registry has no place for it; a mixture of what it has is named with its parts."""
        if dataset.name in REGISTRY or dataset.name in PICKLES or dataset.parts:
            return ""
        alone = to_type("export", "FOLDER", "--to", "vila")
        return f"left out: VILA's release knows no dataset of that name. One of them alone: {alone}"

    def among(self, dataset: FinishedShards, out: Path) -> tuple[Exporter | None, Path]:
        """See :class:`Exporter`: pickles stay, conversations are given their names when all is written."""
        if dataset.name in PICKLES:
            return self, pickle_folder(out, dataset.name)
        if dataset.name in REGISTRY:
            rows = VilaConversations(leave_out=self.leave_out, root=str(out.resolve()))
            return rows, part_folder(out, dataset.name)
        return None, out

    def join(self, datasets: Sequence[FinishedShards], out: Path) -> Exported:
        """See :func:`join_tree`."""
        return join_tree(datasets, out)

    def export(self, dataset: FinishedShards, out: Place) -> Iterator[Exported]:
        """Write a pickle and its count for each shard, in the form that its samples' turns ask for.

        A killed export goes on and ends with the same bytes. What upstream had as conversations, or VILA's
        registry has as such, becomes JSON, as of :class:`VilaConversations`.
        """
        if dataset.name in REGISTRY or holds_conversations(dataset):
            yield from VilaConversations(leave_out=self.leave_out).export(dataset, out)
            return
        maker = self.maker_for(dataset)
        names = {name for number in range(len(dataset.shards)) for name in part_names(number)}
        check_folder(out, names, "VILA's loader counts what lies in the folder")
        files, done = store_at(out), account_of(maker.form)
        done.start = entry_of(dataset, maker.form, out)
        for number, shard in enumerate(dataset.shards):
            pickle_name, count_name = part_names(number)
            stamp = self.stamp(maker, [shard])
            if files.size(count_name) is None:  # written last, so it says that the pickle is whole
                with written(files, pickle_name) as stream:
                    items = PickledList(stream, stamp)
                    self.add_shard(items, dataset, shard, maker, done)
                    items.close()
                files.put(count_name, items.count_text())
                count = items.count
            else:
                count = _count_of(files, pickle_name, count_name, self.stamps(maker, [shard]))
            done.shards += 1
            done.samples += count
            done.left_out += shard.samples - count
            yield done


def _count_of(files: Store, pickle_name: str, count_name: str, stamps: Sequence[str]) -> int:
    """The count of a part written before, which must be of the same shard and manner."""
    text = files.read(count_name).decode(errors="replace").strip()
    there = files.size(pickle_name) is not None
    if not there or stamp_of(files, pickle_name) not in stamps or not text.isdigit():
        raise UsageError(
            f"{files}/{pickle_name} was made of another dataset or with other options. Name an empty folder with "
            "--out."
        )
    return int(text)


EXPORTER = Vila()
