"""JSON Lines for Qwen-VL's finetuning code, and the entry for its registry.

Reader: https://github.com/QwenLM/Qwen3-VL, ``qwen-vl-finetune/qwenvl/data``. It takes pictures and videos in the
order of their tags in human turns, n of n, and any other speaker for the assistant, whose words it trains on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation
from gristmill.exports._dialect import Dialect, Laid, command
from gristmill.exports._llava_rows import llava_row
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "QwenVL"]

_ENTRY = "data_dict.py"


@dataclass(frozen=True, kw_only=True)
class QwenVL(Dialect):
    """JSON Lines for Qwen-VL's finetuning code."""

    writes = "train.jsonl, data_dict.py, media/"
    trainer: ClassVar[str] = "Qwen-VL"
    by_kinds: ClassVar[bool] = False
    takes_system: ClassVar[bool] = False

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`llava_row`."""
        return llava_row(conversation, paths, lists=True)

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The entry: lines for the end of the reader's ``qwenvl/data/__init__.py``."""
        entry = {"annotation_path": laid.at(laid.files[0].name), "data_path": laid.at(laid.media)}
        return {
            _ENTRY: "# add this line at the end of qwen-vl-finetune/qwenvl/data/__init__.py\n"
            f"data_dict[{json.dumps(laid.name)}] = {json.dumps(entry)}\n"
        }

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        add = command("cat", laid.at(_ENTRY)) + " >> qwenvl/data/__init__.py"
        train = command(
            *("torchrun", "qwenvl/train/train_qwen.py", "--model_name_or_path", "$MODEL"),
            *("--dataset_use", laid.name, "--output_dir", f"checkpoints/{laid.name}"),
        )
        return f"{add}\n{train}"


EXPORTER = QwenVL()
