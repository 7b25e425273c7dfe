"""LLaVA's kind of JSON where VILA looks for it: ``playground/data`` for its release, a YAML entry for its head.

Readers in https://github.com/NVlabs/VILA: at 143c773 ``LazySupervisedDataset`` in ``llava/data/dataset.py``, with the
registry ``llava/data/datasets_mixture.py``; at its head ``LLaVADataset`` and ``LLaVANextDataset`` in
``llava/data/dataset_impl/llava.py``. ``LLaVADataset`` puts all media before the first words, so that a file with
pictures elsewhere is for ``LLaVANextDataset``, which wants lists and reads no video. The release reads the first
question of a video only, trusts ``fps`` and ``frame_count`` of the record, and spreads its frames over all but the
last one, so that a video needs one more than it takes; a folder of frames is a video to the head alone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gristmill.exports._conversation import Conversation, Kind
from gristmill.exports._dialect import Dialect, Laid, RowsWritten, command, registered
from gristmill.exports._exporter import FinishedShards, option
from gristmill.exports._llava_rows import llava_row
from gristmill.exports._unfit import Unfit
from gristmill.spec.sample import Json

__all__ = ["EXPORTER", "REGISTRY", "VilaConversations"]

_DATA = "playground/data"
_YAML = "vila.yaml"
_ENTRY = "add_dataset.py"
_ASKED = "video_chatgpt"

REGISTRY: Mapping[str, tuple[str, str, str]] = {
    "llava-cc3m-595k": (
        "llava_1_5_mm_align",
        "LLaVA-Pretrain/LLaVA-CC3M-Pretrain-595K.json",
        "LLaVA-Pretrain/images",
    ),
    "sharegpt4v-pretrain": (
        "sharegpt4v_pretrain",
        "ShareGPT4V/jason-filter-share-captioner_coco_lcs_sam_1246k_1107.json",
        "ShareGPT4V/data",
    ),
    "sharegpt4v-cap100k": (
        "sharegpt4v_gpt4_100k",
        "ShareGPT4V/sharegpt4v_instruct_gpt4-vision_cap100k.json",
        "ShareGPT4V/data",
    ),
    "llava-instruct-150k-zh": ("llava_instruct", "llava_instruct_150k_zh.jsonl", "coco"),
    "sharegpt4v-mix738k": ("sharegpt4v_sft", "sharegpt4v/sharegpt4v_mix738k_remove_sa.json", ""),
    "dvqa": ("dvqa_train_200k", "dvqa_train_200k.jsonl", "dvqa"),
    "chartqa": ("chartqa_train_18k", "chartqa_train_18k.jsonl", "chartqa"),
    "ai2d": ("ai2d_train_12k", "ai2d_train_12k.jsonl", "ai2d"),
    "docvqa": ("docvqa_train_10k", "docvqa_train_10k.jsonl", "docvqa"),
    "geoqa-plus": ("geoqa", "geoqa+.jsonl", "geoqa+"),
    "synthdog-en": ("synthdog_en", "synthdog_en.jsonl", "synthdog-en"),
    "scienceqa": ("scienceqa", "scienceqa/scienceqa_train_12k.json", "scienceqa/images"),
    "sherlock": ("sherlock", "sherlock/processed/sherlock_317k.json", "sherlock/images"),
    "wit": ("wit_subset", "WIT/wit_1_8m/wit_processed_538k.json", "WIT/wit_1_8m/images"),
    "youcook2": ("youcook2", "youcook2/youcook_filtered_v3.json", "youcook2/video_data_clipped"),
    "vatex": ("vatex", "vatex/vatex_filtered_v3.json", "vatex/videos_clipped"),
    "video-chatgpt": (
        "video_chatgpt",
        "Video_ChatGPT/VideoInstruct-100K/VideoInstruct100K.json",
        "Video_ChatGPT/activitynet_videos",
    ),
    "shot2story": (
        "shot2story_shotonly",
        "shot2story/shot2story_shotonly.json",
        "shot2story/Shot2Story/data/videos_extracted",
    ),
    "sharegpt-video": (
        "sharegpt_video",
        "sharegpt_video/video_caption_pretrain.json",
        "sharegpt_video/videos",
    ),
}
"""By recipe: the name in the release's registry, and below ``playground/data`` the file of rows and the media.

The entry of ``sharegpt4v_gpt4_100k`` names a folder ``playground/datasharegpt_video`` by mistake: the release finds
it by the line in ``add_dataset.py``.
"""


@dataclass(frozen=True, kw_only=True)
class VilaConversations(Dialect):
    """VILA's JSON of conversations, for its release and head."""

    writes = "playground/data/..., vila.yaml and add_dataset.py"
    trainer: ClassVar[str] = "VILA"
    by_kinds: ClassVar[bool] = False
    array: ClassVar[bool] = True
    takes_system: ClassVar[bool] = False
    takes_frames: ClassVar[bool] = True

    head_only: bool = option(
        False,
        "For VILA's head alone: videos with several questions, of which its release reads the first, short ones and "
        "folders of frames fit.",
    )
    video_frames: int = option(
        8, "Frames that the trainer takes of a video; for internvl they are pictures, evenly spread."
    )

    def folders(self, dataset: FinishedShards) -> tuple[str, str]:
        """As the release's registry has them; of other datasets a folder of their own."""
        if dataset.name in REGISTRY:
            _, rows, media = REGISTRY[dataset.name]
            return f"{_DATA}/{rows}".rpartition("/")[0], f"{_DATA}/{media}".rstrip("/")
        name = registered(dataset.name)
        return f"{_DATA}/{name}", f"{_DATA}/{name}/media"

    def file_name(self, dataset: FinishedShards, kinds: Sequence[Kind]) -> str:
        """Videos stand by themselves: the head's reader that leaves pictures in their places reads none."""
        if dataset.name in REGISTRY:
            name = REGISTRY[dataset.name][1].rpartition("/")[2]
        else:
            name = f"{registered(dataset.name)}.json"
        if _of_videos(kinds) and (dataset.name not in REGISTRY or "video" not in REGISTRY[dataset.name][2]):
            stem, _, ending = name.rpartition(".")
            return f"{stem}_video.{ending}"
        return name

    def check(self, conversation: Conversation) -> None:
        """Pictures, or one video with one question that the release gets its frames of."""
        videos = conversation.videos
        if not videos:
            return
        said = f"sample {conversation.key}"
        then = "for its head alone: --to vila-conversations --head-only"
        if len(conversation.media) > 1:
            raise Unfit("video_and_more", f"{said} has a video and more, and VILA reads one of them")
        if self.head_only:
            return
        if len(conversation.turns) > 2:
            raise Unfit(
                "several_turns",
                f"{said} asks {len(conversation.turns) // 2} questions of a video, and VILA's release reads the "
                f"first; {then}",
            )
        (video,) = videos
        if video.frames:
            raise Unfit(
                "frames",
                f"{said} has a video that is stored as pictures of its frames, which VILA's release sees as black; "
                f"{then}",
            )
        if video.frame_count is not None and video.frame_count <= self.video_frames:
            raise Unfit(
                "too_few_frames",
                f"{said} has a video of {video.frame_count} frames, and VILA's release needs "
                f"{self.video_frames + 1} to take {self.video_frames}; {then}",
            )

    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """See :func:`llava_row`; a picture is a list of one too, a video is a path.

        Of Video-ChatGPT the keys of its own file stand beside: where the release finds a ``video`` it does not look
        at them.
        """
        row = llava_row(conversation, paths, lists=True)
        if "video" in row:
            (row["video"],) = row["video"]
            if laid.name == _ASKED and row["video"].endswith(".mp4"):  # which is put behind ``video_id``
                question, answer = (turn.text.strip() for turn in conversation.turns[:2])
                row |= {"q": question, "a": answer, "video_id": row["video"].removesuffix(".mp4")}
        return row

    def registration(self, laid: Laid) -> Mapping[str, str]:
        """The head's entries with absolute paths, and the release's lines for what its registry has not."""
        entries, lines = "", []
        for name, file in _names(laid).items():
            entry = {
                "_target_": _reader(file),
                "data_path": laid.at(file.name),
                "media_dir": laid.at(laid.media),
                "is_video": _of_videos(file.kinds),
            }
            entries += f"{name}:\n" + "".join(
                f"  {key}: {json.dumps(value)}\n" for key, value in entry.items()
            )
            where = {"dataset_name": name, "dataset_type": "torch", "data_path": f"./{file.name}"}
            where["image_path"] = f"./{laid.media}"
            said = ", ".join(f"{key}={json.dumps(value)}" for key, value in where.items())
            lines.append(f"add_dataset(Dataset({said}))\n")
        return {
            _YAML: entries,
            _ENTRY: "# in llava/data/datasets_mixture.py of VILA's release, instead of an entry of this name\n"
            + "".join(lines),
        }

    def start(self, laid: Laid) -> str:
        """See :class:`Dialect`."""
        train = command(
            *("torchrun", "llava/train/train_mem.py", "--model_name_or_path", "$MODEL"),
            *("--data_mixture", "+".join(_names(laid)), "--output_dir", f"checkpoints/{laid.name}"),
        )
        release = command("cp", "-al", laid.at(f"{_DATA}/."), f"{_DATA}/")
        head = f"VILA_DATASETS={shlex.quote(laid.at(_YAML))} {train}"
        if self.head_only:
            return head
        return f"# VILA's head\n{head}\n# its release (143c773)\n{release}\n{train}"


def _names(laid: Laid) -> dict[str, RowsWritten]:
    """A name for each file of rows: that of the registry where it is there."""
    known = {f"{_DATA}/{rows}": name for name, rows, _ in REGISTRY.values()}
    return {known.get(file.name, name): file for name, file in laid.names.items()}


def _of_videos(kinds: Sequence[Kind]) -> bool:
    return "video" in kinds or "frames" in kinds


def _reader(file: RowsWritten) -> str:
    """The head's class that reads a file."""
    return (
        "llava.data.LLaVANextDataset"
        if file.elsewhere and not _of_videos(file.kinds)
        else "llava.data.LLaVADataset"
    )


EXPORTER = VilaConversations()
