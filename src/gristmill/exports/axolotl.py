"""Messages in parts for Axolotl, and the part of its YAML that names them.

Reader: https://github.com/axolotl-ai-cloud/axolotl, ``docs/multimodal.qmd``. Of a column ``images`` it takes
the first picture only, so there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._dialect import Laid, command
from gristmill.exports._part_dialect import PartDialect

__all__ = ["EXPORTER", "Axolotl"]

_YAML = "axolotl.yaml"


@dataclass(frozen=True, kw_only=True)
class Axolotl(PartDialect):
    """JSON Lines of parts for Axolotl, and its YAML."""

    writes = "images.jsonl, text.jsonl and the like, axolotl.yaml, media/"
    trainer: ClassVar[str] = "Axolotl"
    path_key: ClassVar[str | None] = "path"

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The YAML, but for the model."""
        entries = [
            {
                "path": "json",
                "ds_type": "json",
                "data_files": [laid.at(file.name)],
                "split": "train",
                "type": "chat_template",
                "field_messages": "messages",
            }
            for file in laid.files
        ]
        lines = [
            "processor_type: AutoProcessor",
            "skip_prepare_dataset: true",
            "remove_unused_columns: false",
            "sample_packing: false",
            "datasets:",
            *(f"  - {json.dumps(entry)}" for entry in entries),
            f"output_dir: {json.dumps(f'outputs/{laid.name}')}",
        ]
        return {_YAML: "\n".join(lines) + "\n"}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return command(
            *("axolotl", "train", laid.at(_YAML)), *("--base-model", "$MODEL", "--chat-template", "$TEMPLATE")
        )


EXPORTER = Axolotl()
