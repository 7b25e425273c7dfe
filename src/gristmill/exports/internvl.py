"""JSON Lines for InternVL's finetuning code, and its meta file.

Reader: https://github.com/OpenGVLab/InternVL, ``internvl_chat/internvl/train/internvl_chat_finetune.py``. It puts a
tag before the first turn where that has none, so that a picture may not stand in later turns alone, nor behind a
system's turn. Videos need a client that is not public, and without it each is replaced by another record. So they are
shown as pictures of their frames, in the words in which the reader itself shows a video: ``Frame-1: <image>``, and so
on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation
from gristmill.exports._dialect import Dialect, Laid, command
from gristmill.exports._exporter import option
from gristmill.exports._frames import video_frames
from gristmill.exports._llava_rows import llava_row
from gristmill.exports._unfit import Unfit
from gristmill.spec.errors import UsageError
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "InternVL"]

_META = "meta.json"


@dataclass(frozen=True, kw_only=True)
class InternVL(Dialect):
    """JSON Lines for InternVL's finetuning code."""

    writes = "train.jsonl, meta.json, media/"
    trainer: ClassVar[str] = "InternVL"
    by_kinds: ClassVar[bool] = False
    takes_frames: ClassVar[bool] = True
    what_changes: ClassVar[str] = "with a video shown as pictures of its frames"

    video_frames: int = option(
        8, "Frames that the trainer takes of a video; for internvl they are pictures, evenly spread."
    )

    def changing(self) -> AbstractContextManager[Callable[[Conversation], Conversation]]:
        """See :class:`Dialect`."""
        if self.video_frames < 1:
            raise UsageError(f"--video-frames {self.video_frames}: expected 1 or more")
        return video_frames(self.video_frames, "Frame-{}: ")

    def check(self, conversation: Conversation) -> None:
        """The first turn shows a picture, if any does."""
        if conversation.media and not conversation.turns[0].media:
            raise Unfit(
                "first_turn_without_medium",
                f"sample {conversation.key} shows no picture in its first turn but in a later one, and "
                "InternVL's reader puts a tag too many there",
            )

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`llava_row`."""
        return llava_row(conversation, paths)

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The meta file."""
        (file,) = laid.files
        entry = {
            "root": laid.at(laid.media),
            "annotation": laid.at(file.name),
            "data_augment": False,
            "repeat_time": 1,
            "length": file.rows,
        }
        return {_META: json.dumps({laid.name: entry}, indent=2) + "\n"}

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        return command(
            *("torchrun", "internvl/train/internvl_chat_finetune.py", "--model_name_or_path", "$MODEL"),
            *("--conv_style", "internvl2_5", "--meta_path", laid.at(_META), "--do_train", "True"),
            *("--output_dir", f"checkpoints/{laid.name}"),
        )


EXPORTER = InternVL()
