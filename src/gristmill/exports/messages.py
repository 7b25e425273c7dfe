"""Messages in parts, as processors of Hugging Face's ``transformers`` take them, and Megatron-Bridge with them.

Readers: ``apply_chat_template`` of a processor; https://github.com/NVIDIA-NeMo/Megatron-Bridge, ``tutorials/data``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._dialect import Laid, command
from gristmill.exports._part_dialect import PartDialect

__all__ = ["EXPORTER", "Messages"]


@dataclass(frozen=True, kw_only=True)
class Messages(PartDialect):
    """JSON Lines of parts for processors and Megatron-Bridge."""

    trainer: ClassVar[str] = "processors' chat templates"

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        files = ",".join(laid.at(file.name) for file in laid.files)
        return command(
            *("torchrun", "scripts/training/run_recipe.py", "--recipe", "$RECIPE"),
            "dataset.source.path_or_dataset=json",
            f"dataset.source.load_kwargs={{data_files:{{train:[{files}]}}}}",
        )


EXPORTER = Messages()
