"""LLaVA's own JSON: one picture a record, text-only records without a tag.

Reader: ``LazySupervisedDataset`` in https://github.com/haotian-liu/LLaVA, ``llava/train/train.py``. It opens one
picture, moves its tag before the words of its turn, and knows the speakers human and gpt alone. A record with the key
``video`` it takes for text; trainers that come from it read the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation, Kind
from gristmill.exports._dialect import Dialect, Laid, command
from gristmill.exports._exporter import FinishedShards, option
from gristmill.exports._llava_rows import llava_row, only_movable
from gristmill.exports._unfit import Unfit
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "Llava"]


@dataclass(frozen=True, kw_only=True)
class Llava(Dialect):
    """LLaVA's JSON, and the pictures that it names."""

    writes = "train.json, media/"
    trainer: ClassVar[str] = "LLaVA"
    by_kinds: ClassVar[bool] = False
    array: ClassVar[bool] = True
    takes_system: ClassVar[bool] = False
    instead_of_video: ClassVar[str] = (
        ". Write them under the key video, for trainers that come from it, with --videos"
    )

    lines: bool = option(False, "JSON Lines (train.jsonl), which LLaVA's own trainer does not read.")
    videos: bool = option(
        False,
        "Write videos under the key video, which trainers that come from LLaVA's read. Its own takes such records "
        "for text, so otherwise they do not fit.",
    )

    @property
    def takes_video(self) -> bool:  # type: ignore[override]
        """See :class:`Dialect`."""
        return self.videos

    def file_name(self, dataset: FinishedShards, kinds: Sequence[Kind]) -> str:
        """See :class:`Dialect`."""
        return "train.jsonl" if self.lines else "train.json"

    def check(self, conversation: Conversation) -> None:
        """One picture or video, not between words."""
        if len(conversation.media) > 1:
            raise Unfit(
                "several_pictures",
                f"sample {conversation.key} has {len(conversation.media)} media, and LLaVA opens one; "
                "--to llava-next takes several",
            )
        only_movable(conversation, self.trainer)

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`llava_row`."""
        return llava_row(conversation, paths)

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """None: the command names both."""
        return {}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return command(
            *("deepspeed", "llava/train/train_mem.py", "--model_name_or_path", "$MODEL"),
            *("--data_path", laid.at(laid.files[0].name), "--image_folder", laid.at(laid.media)),
            *("--output_dir", f"checkpoints/{laid.name}"),
        )


EXPORTER = Llava()
