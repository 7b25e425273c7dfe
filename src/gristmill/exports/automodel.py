"""JSON Lines for NeMo AutoModel, and its meta file.

Reader: https://github.com/NVIDIA-NeMo/Automodel, ``nemo_automodel/components/datasets/vlm/datasets.py``,
``make_meta_dataset``. Tags count in user turns, in capitals too; media too many and unknown speakers it
drops in silence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation
from gristmill.exports._dialect import Dialect, Laid, command
from gristmill.exports._message_rows import COLUMNS, message_row
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "AutoModel"]

_META = "meta.json"
_TARGET = "nemo_automodel.components.datasets.vlm.datasets.make_meta_dataset"


@dataclass(frozen=True, kw_only=True)
class AutoModel(Dialect):
    """JSON Lines for NeMo AutoModel."""

    writes = "images.jsonl, text.jsonl and the like, meta.json, media/"
    trainer: ClassVar[str] = "NeMo AutoModel"
    any_case: ClassVar[bool] = True

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`message_row`."""
        return message_row(conversation, paths)

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The meta file, an entry for each file."""
        meta = {
            name: {
                "file_name": file.name,
                "columns": {"messages": "messages", **{COLUMNS[kind]: COLUMNS[kind] for kind in file.kinds}},
                "media_dir": laid.at(laid.media),
                "sample_ratio": 1.0,
            }
            for name, file in laid.names.items()
        }
        return {_META: json.dumps(meta, indent=2) + "\n"}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return command(
            *("automodel", "$CONFIG", f"--dataset._target_={_TARGET}"),
            f"--dataset.path_or_dataset={laid.at(_META)}",
        )


EXPORTER = AutoModel()
