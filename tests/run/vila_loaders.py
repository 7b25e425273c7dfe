"""VILA's loaders by their rules, written from the description of ``llava/data/dataset.py``; nothing of ours in it.

Each takes a folder, a rank and a number of ranks, and gives what it would train on: text with ``<image>`` where a
picture goes, and the pictures. A sample that breaks the real loader raises here.
"""

import base64
import io
import os
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

TOKEN = "<image>"
END = "</s>"


class Dealt:
    """Shards dealt to ranks: what is left over is ignored, every rank is cut to the smallest."""

    group = 1

    def __init__(self, folder, rank=0, ranks=1):
        entries = os.listdir(folder)
        shards = len(entries) // 2
        counts = sorted(name for name in entries if name.endswith(".count"))[:shards]
        sizes = [int((Path(folder) / name).read_text().strip()) for name in counts]
        share = shards // ranks
        per_rank = [sum(sizes[i * share : (i + 1) * share]) // self.group for i in range(ranks)]
        self.per_rank = min(per_rank)
        self.length = self.per_rank * ranks
        items = []
        for name in [name.replace(".count", ".pkl") for name in counts][rank * share : (rank + 1) * share]:
            with open(os.path.join(folder, name), "rb") as stream:
                items.extend(pickle.load(stream))
        self.items = self.grouped(items)
        self.offset = rank * self.per_rank
        assert len(self.items) >= self.per_rank

    def grouped(self, items):
        return items

    def __iter__(self):
        return (self.train_on(self.items[i]) for i in range(self.per_rank))


def decoded(text):
    return Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")


class Coyo(Dealt):
    """Four samples make one training item; an incomplete last group is dropped."""

    group = 4

    def grouped(self, items):
        groups = [items[i : i + 4] for i in range(0, len(items), 4)]
        return groups[:-1] if groups and len(groups[-1]) < 4 else groups

    def train_on(self, group):
        made = []
        for sample in group:
            text = sample["text" if "text" in sample else "caption"].replace(TOKEN, "<IMAGE>")
            raw = base64.b64decode(sample["image"]) if "image" in sample else sample["rawbytes"]
            made.append((TOKEN + text + END, [Image.open(io.BytesIO(raw)).convert("RGB")]))
        return made


class MMC4(Dealt):
    """Each picture goes directly before the sentence it is matched with; at most six."""

    def train_on(self, info):
        sentences = [text.replace(TOKEN, "<IMAGE>") for text in info["text_list"]]
        images, places = [], []
        for picture, _ in zip(info["image_info"], info["similarity_matrix"], strict=False):
            images.append(decoded(picture["image_base64"]))
            places.append(picture["matched_text_index"])
        images, places = images[:6], places[:6]
        images = [images[i] for i in np.argsort(places, kind="stable")]
        for place in places:
            sentences[place] = f"{TOKEN}{sentences[place]}"
        text = " ".join(sentences).replace(f"{TOKEN} ", TOKEN).replace(f" {TOKEN}", TOKEN)
        assert images, "the loader slices None"
        assert text.count(TOKEN) == len(images)
        return text + END, images


class VFlan(Dealt):
    """Questions and answers, sharded or not; visual dialogues told by their wording."""

    def __init__(self, folder, rank=0, ranks=1):
        self.sharded = any(".count" in name for name in os.listdir(folder))
        if self.sharded:
            super().__init__(folder, rank, ranks)
            return
        self.items = []
        for name in os.listdir(folder):
            if name.endswith(".pkl"):
                with open(os.path.join(folder, name), "rb") as stream:
                    self.items.extend(pickle.load(stream))
        self.per_rank = self.length = len(self.items)

    def train_on(self, item):
        question = item["question"].rstrip()
        answer = item["answer:" if "answer:" in item else "answer"].rstrip()
        images = item["image:" if "image:" in item else "image"]
        images = [images] if isinstance(images, str) else images
        assert len(images) <= 8
        assert not any(text.endswith(".jpg") for text in images)
        pictures = [decoded(text) for text in images]
        if "Image Descriptions" in question:
            pairs = [piece.split("\nAnswer: ") for piece in question.split("\nQuestion: ")[1:]]
            pairs[0][0] = f"{TOKEN}\n" + pairs[0][0]
            assert len(pairs[-1]) == 1
            pairs[-1][0] = pairs[-1][0].replace("\n", "")
            pairs[-1].append(answer)
            turns = [(asked, answered) for asked, answered in pairs]
        else:
            for spelling in (f"{TOKEN}\n", f"\n{TOKEN}", TOKEN):
                question = question.replace(spelling, "")
            turns = [(f"{TOKEN}\n" * len(pictures) + question, answer)]
        text = "".join(asked + answered for asked, answered in turns)
        assert text.count(TOKEN) == len(pictures), "tokens and pictures differ"
        return turns, pictures
