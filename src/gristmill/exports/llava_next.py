"""LLaVA-NeXT's JSON: pictures, or one video whose tag is ``<image>`` too, and the YAML that lists files.

Reader: ``LazySupervisedDataset`` in https://github.com/LLaVA-VL/LLaVA-NeXT, ``llava/train/train.py``. It moves the
one tag of a turn before its words, leaves several where they are, and does not know a system's turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation
from gristmill.exports._dialect import Dialect, Laid, command
from gristmill.exports._llava_rows import TAGS, llava_row, only_movable
from gristmill.exports._unfit import Unfit
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "LlavaNext"]

_YAML = "data.yaml"


@dataclass(frozen=True, kw_only=True)
class LlavaNext(Dialect):
    """LLaVA-NeXT's JSON, its list of files, and media."""

    writes = "train.json, data.yaml, media/"
    trainer: ClassVar[str] = "LLaVA-NeXT"
    by_kinds: ClassVar[bool] = False
    array: ClassVar[bool] = True
    takes_system: ClassVar[bool] = False

    def check(self, conversation: Conversation) -> None:
        """Pictures or one video."""
        if conversation.videos and len(conversation.media) > 1:
            raise Unfit(
                "video_and_more",
                f"sample {conversation.key} has a video and more, and LLaVA-NeXT reads one of them",
            )
        only_movable(conversation, self.trainer, alone=True)

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`llava_row`; the tag of a video is ``<image>``."""
        return llava_row(conversation, paths, tags=dict.fromkeys(TAGS, "<image>"))

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The list of files."""
        files = [
            f"  - json_path: {json.dumps(laid.at(file.name))}\n    sampling_strategy: all\n"
            for file in laid.files
        ]
        return {_YAML: "datasets:\n" + "".join(files)}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        media = laid.at(laid.media)
        return command(
            *("torchrun", "llava/train/train_mem.py", "--model_name_or_path", "$MODEL"),
            *("--data_path", laid.at(_YAML), "--image_folder", media, "--video_folder", media),
            *("--output_dir", f"checkpoints/{laid.name}"),
        )


EXPORTER = LlavaNext()
