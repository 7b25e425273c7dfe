"""JSON Lines for LLaMA-Factory, and its ``dataset_info.json``.

Reader: https://github.com/hiyouga/LLaMA-Factory, ``src/llamafactory/data``. It counts ``<image>`` and ``<video>`` in
all turns, n of n, and every column that is named must be in every row. ``formatting`` is ``sharegpt`` though speakers
are user and assistant: ``openai`` adds a system text of its own.
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

__all__ = ["EXPORTER", "LlamaFactory"]

_INFO = "dataset_info.json"
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}


@dataclass(frozen=True, kw_only=True)
class LlamaFactory(Dialect):
    """JSON Lines for LLaMA-Factory."""

    writes = "images.jsonl, text.jsonl and the like, dataset_info.json, media/"
    trainer: ClassVar[str] = "LLaMA-Factory"
    takes_frames: ClassVar[bool] = True

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`message_row`."""
        return message_row(conversation, paths, before=f"{laid.media}/")

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The list of datasets, one a file."""
        info = {
            name: {
                "file_name": file.name,
                "formatting": "sharegpt",
                "columns": {"messages": "messages", **{COLUMNS[kind]: COLUMNS[kind] for kind in file.kinds}},
                "tags": _TAGS,
            }
            for name, file in laid.names.items()
        }
        return {_INFO: json.dumps(info, indent=2) + "\n"}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return command(
            *("llamafactory-cli", "train", "--stage", "sft", "--do_train", "true"),
            *("--model_name_or_path", "$MODEL", "--template", "$TEMPLATE", "--finetuning_type", "lora"),
            *("--dataset_dir", laid.root, "--media_dir", laid.root, "--dataset", ",".join(laid.names)),
            *("--output_dir", f"saves/{laid.name}"),
        )


EXPORTER = LlamaFactory()
