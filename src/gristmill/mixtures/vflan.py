"""VFLAN: a million TextFLAN samples and fourteen subsets of M3IT, shuffled into 128 shards.

VILA pickles each part (https://github.com/NVlabs/VILA, data_prepare/sft/preprocess_flan.py and preprocess_m3it.py),
then ``split_vflan.py`` concatenates all pickles of the folder by sorted names, shuffles the list with seed 1 and
cuts it into 128 equal parts. What is odd about that: it holds all of it in memory, pictures included; the last few
samples that do not fill 128 equal parts are dropped; with fewer than 128 samples it never ends.
"""

from __future__ import annotations

from gristmill.spec.mixture import Mixture, Part
from gristmill.steps.shuffle import Shuffle

PUBLISHED = (
    "captioning_image-paragraph-captioning_train.pkl",
    "captioning_textcap_train.pkl",
    "generation_multi30k_train.pkl",
    "generation_visual-dialog_train.pkl",
    "reasoning_clevr_train.pkl",
    "reasoning_nlvr_train.pkl",
    "reasoning_visual-mrc_train.pkl",
    "text_flan_1m.pkl",
    "vqa_docvqa_train.pkl",
    "vqa_gqa_train.pkl",
    "vqa_ivqa_train.pkl",
    "vqa_ocr-vqa_train.pkl",
    "vqa_st-vqa_train.pkl",
    "vqa_viquae_train.pkl",
    "vqa_vqa-v2_train.pkl",
)
"""The pickles as the published scripts name and sort them: ``{type}_{configuration}_train.pkl``, and FLAN's."""


def _part(pickle: str) -> Part:
    if pickle == "text_flan_1m.pkl":
        return Part(name="text-flan", published=pickle)
    return Part(name=f"m3it-{pickle.split('_')[1]}", published=pickle)


MIXTURE = Mixture(
    name="vflan",
    version="2026.11.1",
    title="VFLAN",
    description=(
        "Visual and text instruction data as VILA mixes them: one million evenly spaced samples of FLAN and the "
        "train splits of fourteen M3IT subsets, in one order over all."
    ),
    homepage="https://github.com/NVlabs/VILA/tree/main/data_prepare",
    license="other",
    redistribution="nothing",
    stages=("sft",),
    parts=tuple(map(_part, PUBLISHED)),
    shuffle=Shuffle(seed=1, shards=128),
    traps=(
        "The published way drops the samples that are over after 128 equal parts; the default here drops none, and "
        "--set shuffle.order=published drops the same ones and says so.",
        "VILA's loader stops on samples of more than eight pictures: prepare the videos' frames with "
        "--set m3it-ivqa.embedded.max_images=8.",
        "VILA's loader deals whole shards to ranks and ignores what is left over: with more ranks than shards some "
        "get no data. --set shuffle.shards=N gives more.",
        "GSM8K-ScRel is read by the same loader and is no part of this: VILA registers it apart, as `math`.",
    ),
)
