"""One pickle for a whole dataset, as VILA's vflan loader reads a folder without counts, out of finished shards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gristmill.exports._exporter import Exported, FinishedShards, option
from gristmill.exports._pickled_list import PickledList, stamp_of
from gristmill.exports._vila import VilaPickles, account_of, entry_of, loader_of
from gristmill.exports._writing import check_folder, written
from gristmill.spec.command import to_type
from gristmill.spec.errors import UsageError
from gristmill.storage.store import Place, store_at

__all__ = ["EXPORTER", "VilaUnsharded"]

_LOADER = "vflan"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_RULE = "beside it VILA's vflan loader reads every .pkl, and a .count would make it look for parts"


@dataclass(frozen=True, kw_only=True)
class VilaUnsharded(VilaPickles):
    """One pickle a dataset, for VILA's vflan loader."""

    writes = "NAME.pkl, one for each dataset in DIR that the loader reads, mixtures excepted"
    reads = "questions and answers"
    needs_all = "One pickle for all of it can be written when it is; --to vila writes what there is."

    name: str | None = option(None, "Of the pickle, without .pkl. Default: as upstream calls it.")

    @property
    def takes_several(self) -> bool:
        """Each has a pickle of its own name."""
        return self.name is None

    def why_alone(self, dataset: FinishedShards) -> str:
        """The loader reads every pickle of a folder.

        It would have a mixture's samples twice, and captions or documents are for other loaders.
        """
        if dataset.mixture:
            why = "is a mixture, and its samples are in the other pickles"
        elif dataset.samples and (loader := loader_of(dataset)) != _LOADER:
            why = f"is for VILA's {loader} loader"
        else:
            return ""
        command = to_type("export", dataset.folder, "--to", "vila", "--out", "DIR")
        return f"{why}: not written. For itself: {command}"

    def export(self, dataset: FinishedShards, out: Place) -> Iterator[Exported]:
        """Write one pickle of all shards; other pickles may lie beside it."""
        name = self.name
        if name is None:
            name = dataset.published_as or dataset.name.replace("-", "_")
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"--name {name!r}: expected letters, digits, dots, dashes or underscores, without .pkl"
            )
        maker = self.maker_for(dataset)
        if maker.form != _LOADER:
            raise UsageError(
                f"{dataset.folder} is for VILA's {maker.form} loader, which reads parts with counts only. Export it "
                "with --to vila."
            )
        files, file = store_at(out), f"{name}.pkl"
        neighbours = {one.name for one in files.list() if "/" not in one.name and one.name.endswith(".pkl")}
        check_folder(out, {*neighbours, file}, _RULE)
        done, stamp = account_of(maker.form, file), self.stamp(maker, dataset.shards)
        done.start = entry_of(dataset, maker.form, out)
        there = files.size(file) is not None
        if there and stamp_of(files, file) != stamp:
            raise UsageError(
                f"{files}/{file} is there and was made of something else. Remove it, or choose another --name."
            )
        if there and not self.leave_out:
            done.shards, done.samples = len(dataset.shards), dataset.samples
            yield done
            return
        with written(files, file) as stream:
            items = PickledList(stream, stamp)
            for shard in dataset.shards:
                self.add_shard(items, dataset, shard, maker, done)
                done.shards, done.samples = done.shards + 1, items.count
                done.left_out = done.reasons.total()
                yield done
            items.close()


EXPORTER = VilaUnsharded()
