"""Messages in parts for Unsloth's vision collator.

Reader: ``UnslothVisionDataCollator`` in https://github.com/unslothai/unsloth-zoo, ``unsloth_zoo/vision_utils.py``. Of
an answer in several texts it keeps the first; a column ``images`` it would take as it is, so there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._dialect import Laid, command
from gristmill.exports._part_dialect import PartDialect

__all__ = ["EXPORTER", "Unsloth"]

_SCRIPT = "train.py"
_LINES = '''"""Trains the model that the first argument names on these files."""

import sys

from datasets import load_dataset
from unsloth import FastVisionModel
from unsloth.trainer import UnslothVisionDataCollator
from trl import SFTConfig, SFTTrainer

FILES = %s

rows = [load_dataset("json", data_files=file, split="train").select_columns(["messages"]) for file in FILES]
model, processor = FastVisionModel.from_pretrained(sys.argv[1], load_in_4bit=True)
model = FastVisionModel.for_training(FastVisionModel.get_peft_model(model))
SFTTrainer(
    model=model,
    processing_class=processor,
    data_collator=UnslothVisionDataCollator(model, processor),
    train_dataset=[row for file in rows for row in file],
    args=SFTConfig(
        output_dir=%s,
        remove_unused_columns=False,
        dataset_text_field="",
        dataset_kwargs={"skip_prepare_dataset": True},
    ),
).train()
'''


@dataclass(frozen=True, kw_only=True)
class Unsloth(PartDialect):
    """JSON Lines of parts for Unsloth, and a script that trains."""

    writes = "images.jsonl, text.jsonl and the like, train.py, media/"
    trainer: ClassVar[str] = "Unsloth"

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The script: Unsloth has no command."""
        files = [laid.at(file.name) for file in laid.files]
        return {_SCRIPT: _LINES % (json.dumps(files), json.dumps(f"outputs/{laid.name}"))}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return command("python", laid.at(_SCRIPT), "$MODEL")


EXPORTER = Unsloth()
