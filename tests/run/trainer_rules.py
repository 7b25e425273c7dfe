"""What trainers' readers do with a row, as their code does it, so far as it can go wrong without a model."""

import json
import os
import re
from pathlib import Path

import numpy as np


def lines(path):
    """Rows of JSON Lines or of a JSON array."""
    text = Path(path).read_text(encoding="utf-8")
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def llava(row, folder):
    """``LazySupervisedDataset`` of LLaVA: one picture; its tag moved before the words of its turn."""
    pictures = [Path(folder, row["image"]).read_bytes()] if "image" in row else []
    turns = []
    for number, turn in enumerate(row["conversations"]):
        role = {"human": "user", "gpt": "assistant"}[turn["from"]]
        assert role == ("user", "assistant")[number % 2]
        text = turn["value"]
        if "image" in row and "<image>" in text:
            text = "<image>\n" + text.replace("<image>", "").strip()
        turns.append((role, text))
    assert sum(text.count("<image>") for _, text in turns) == len(pictures)
    return turns, pictures


def vila_release(row, folder):
    """``LazySupervisedDataset`` at 143c773: pictures in the places of their tags, of a video one question.

    Of a video it takes eight frames, spread over all but the last of those that the record says it has.
    """
    if "image" in row:
        named = row["image"] if isinstance(row["image"], list) else [row["image"]]
        bodies = [Path(folder, name).read_bytes() for name in named]
        text = "".join(turn["value"] for turn in row["conversations"])
        assert text.count("<image>") == len(bodies)
    elif "video" in row or "video_id" in row:
        bodies = [Path(folder, row.get("video") or f"{row['video_id']}.mp4").read_bytes()]
        assert len(row["conversations"] if "video" in row else (row["q"], row["a"])) == 2
        assert row.get("frame_count", 9) > 8
        assert row.get("fps", 1) > 0
    else:
        bodies = []
        assert not any(
            tag in turn["value"] for turn in row["conversations"] for tag in ("<image>", "<video>")
        )
    return bodies


def vila_release_frames(path, fps, frame_count, wanted=8):
    """``opencv_extract_frames`` at 143c773: read in order, taken where an even spread over all but the last says."""
    import cv2

    video = cv2.VideoCapture(str(path))
    wanted_at = np.linspace(0, frame_count - 2, wanted, dtype=int)
    taken, number = [], 0
    while len(taken) < wanted and fps > 0:
        found, frame = video.read()
        assert found, f"{path} ends before its frame {number} of {frame_count}"
        if number in wanted_at:
            taken.append(frame)
        number += 1
    video.release()
    return taken


def vila_head_frames(path, wanted):
    """``_load_video`` of VILA's head: each of an even spread from the first to the last is sought by its number."""
    import cv2

    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    taken = []
    for number in np.round(np.linspace(0, count - 1, wanted)).astype(int):
        video.set(cv2.CAP_PROP_POS_FRAMES, int(number))
        found, frame = video.read()
        assert found, f"{path}: frame {number} of {count} cannot be read"
        taken.append(frame)
    video.release()
    return taken


def vila_head(row, entry):
    """The two readers of VILA's head; texts and media in the order in which the model gets them."""
    folder, reader = entry["media_dir"], entry["_target_"]
    turns = [[turn["value"]] for turn in row["conversations"]]
    if reader == "llava.data.LLaVADataset":
        media = [Path(folder, name).read_bytes() for name in row.get("image", [])]
        media += [Path(folder, row["video"]).read_bytes()] if "video" in row else []
        for turn in turns:
            for tag in ("<image>", "<video>"):
                turn[0] = turn[0].replace(f"{tag}\n", "").replace(f"\n{tag}", "").replace(tag, "").strip()
        return [[*media, *turns[0]], *turns[1:]]
    assert reader == "llava.data.LLaVANextDataset"
    assert "video" not in row
    media = [Path(folder, name).read_bytes() for name in row.get("image", [])]
    read = [_in_place(turn[0], "<image>", media) if "image" in row else turn for turn in turns]
    assert not media
    return read


def _in_place(text, tag, media):
    found = []
    for number, piece in enumerate(text.split(tag)):
        found += [media.pop(0)] if number else []
        found += [piece] if piece.strip() else []
    return found


def llava_next(row, images, videos):
    """LLaVA-NeXT: the one tag of a turn goes to its front; a video's tag is ``<image>``."""
    named = row.get("image", [])
    bodies = [Path(images, name).read_bytes() for name in ([named] if isinstance(named, str) else named)]
    if not bodies and "video" in row:
        bodies = [Path(videos, row["video"]).read_bytes()]
    read = []
    for turn in row["conversations"]:
        assert turn["from"] in {"human", "gpt"}
        text = turn["value"]
        if text.count("<image>") == 1 and not text.startswith("<image>"):
            text = "<image>\n" + text.replace("<image>", "").strip()
        read.append(text)
    assert sum(text.count("<image>") for text in read) == len(bodies)
    return read


def qwen(row, data_path):
    """``_build_messages`` of Qwen-VL's finetuning code."""
    named = {
        kind: [row[kind]] if isinstance(row.get(kind), str) else row.get(kind) or []
        for kind in ("image", "video")
    }
    pools = {
        f"<{kind}>": [Path(data_path, name).read_bytes() for name in names] for kind, names in named.items()
    }
    read = []
    for number, turn in enumerate(row["conversations"]):
        assert turn["from"] == ("human", "gpt")[number % 2]
        pieces = re.split("(<image>|<video>)", turn["value"]) if turn["from"] == "human" else [turn["value"]]
        read.append(
            [pools[piece].pop(0) if piece in pools else piece.strip() for piece in pieces if piece.strip()]
        )
    assert not any(pools.values())
    return read


def internvl(row, root):
    """``LazySupervisedDataset`` of InternVL: a tag is put before the first turn where that has none."""
    assert "video" not in row
    assert row["conversations"][-1]["from"] == "gpt"
    if not row.get("image"):
        return []
    named = row["image"] if isinstance(row["image"], list) else [row["image"]]
    assert "<image>" in row["conversations"][0]["value"]
    asked = [turn["value"] for turn in row["conversations"] if turn["from"] == "human"]
    assert sum(text.count("<image>") for text in asked) == len(named)
    return [Path(root, name).read_bytes() for name in named]


def llama_factory(row, info, media_dir):
    """The converter for ``sharegpt`` and the count of its plugin for media."""
    assert info["formatting"] == "sharegpt"
    columns, tags = info["columns"], info["tags"]
    messages = row[columns["messages"]]
    if messages[0][tags["role_tag"]] == tags["system_tag"]:
        messages = messages[1:]
    roles = [message[tags["role_tag"]] for message in messages]
    assert roles == [tags["user_tag"], tags["assistant_tag"]] * (len(roles) // 2)
    bodies = []
    for column, tag in (("images", "<image>"), ("videos", "<video>"), ("audios", "<audio>")):
        named = (
            row[columns[column]] if column in columns else []
        )  # a KeyError, if a row has not what is named
        assert sum(message[tags["content_tag"]].count(tag) for message in messages) == len(named)
        bodies += [_bytes_of(name, media_dir) for name in named]
    return bodies


def _bytes_of(name, folder=""):
    """Of a file; of a list of paths, the frames of one video, those of each."""
    if isinstance(name, list):
        return [_bytes_of(frame, folder) for frame in name]
    return Path(folder, name).read_bytes()


def swift(row):
    """``RowPreprocessor`` and the template of ms-swift, told ``--strict``."""
    for message in row["messages"]:
        assert message["role"] in {"system", "user", "assistant"}
        assert message["content"] is not None
    bodies = []
    for column, tag in (("images", "<image>"), ("videos", "<video>")):
        named = row.get(column) or []
        flat = [path for name in named for path in (name if isinstance(name, list) else [name])]
        assert all(os.path.isabs(path) for path in flat)
        assert sum(message["content"].count(tag) for message in row["messages"]) == len(named)
        bodies += [_bytes_of(name) for name in named]
    return bodies


def automodel(row, entry):
    """``convert_sharegpt_to_conversation`` of NeMo AutoModel, which drops in silence what is too many."""
    pools = {kind: list(row.get(f"{kind}s") or []) for kind in ("image", "video")}
    read = []
    for message in row["messages"]:
        if message["role"] != "user":
            continue
        for piece in re.split("(<image>|<video>)", message["content"], flags=re.IGNORECASE):
            kind = piece.lower().strip("<>")
            if kind in pools and piece.startswith("<"):
                read.append(Path(entry["media_dir"], pools[kind].pop(0)).read_bytes())
    assert not any(pools.values())
    return read


def parts(row, path_key=None):
    """Content in parts: absolute paths, one text an answer, and no key that is null."""
    bodies = []
    assert "images" not in row
    for message in row["messages"]:
        assert isinstance(message["content"], list)
        for part in message["content"]:
            assert None not in part.values()
            if part["type"] != "text":
                path = part[path_key or part["type"]]
                assert os.path.isabs(path)
                bodies.append(Path(path).read_bytes())
        if message["role"] == "assistant":
            assert [part["type"] for part in message["content"]] == ["text"]
    return bodies


def trl(row):
    """``prepare_multimodal_messages`` of TRL: parts without a key ``image`` are filled in order, n of n."""
    messages = row.get("messages") or [*row["prompt"], *row["completion"]]
    shown = [part for message in messages for part in message["content"] if part["type"] == "image"]
    assert not any("image" in part for part in shown)
    assert len(shown) == len(row.get("images") or [])
    return messages
