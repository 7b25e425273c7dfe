"""Families of the playground tree: the names of their members lead to the paths that records use."""

import pytest

from gristmill import sources

MEMBERS = [
    ("cc3m", "GCC_train_000000042.jpg", "archive", "GCC_train_000000042.jpg"),
    ("cc3m", "images/GCC_train_000000042.jpg", "folder", "GCC_train_000000042.jpg"),
    ("cc3m", "playground/data/LLaVA-Pretrain/images/GCC_train_000000042.jpg", "tree", "GCC_train_000000042.jpg"),
    ("cc3m", "00414/004146340.jpg", None, None),
    ("gqa", "images/42.jpg", "archive", "42.jpg"),
    ("gqa", "playground/data/gqa/images/42.jpg", "tree", "42.jpg"),
    ("gqa", "n161313.jpg", "flat", "n161313.jpg"),
    ("gqa", "playground/data/vg/images/42.jpg", None, None),
    ("textvqa", "train_images/0a0bc91825468c45.jpg", "archive", "0a0bc91825468c45.jpg"),
    ("textvqa", "data/textvqa/train_images/0a0bc91825468c45.jpg", "tree", "0a0bc91825468c45.jpg"),
    ("textvqa", "data/share_textvqa/images/0a0bc91825468c45.jpg", None, None),
    ("ocr-vqa", "images/140031996X.jpg", "archive", "140031996X.jpg"),
    ("ocr-vqa", "data/ocr_vqa/images/140031996X.jpg", "tree", "140031996X.jpg"),
    ("ocr-vqa", "140031996X.gif", "flat", "140031996X.gif"),
    ("ocr-vqa", "140031996X.json", None, None),
    ("llava-pretrain", "00414/004146340.jpg", "archive", "00414/004146340.jpg"),
    ("llava-pretrain", "images/00414/004146340.jpg", "folder", "00414/004146340.jpg"),
    ("llava-pretrain", "data/llava/llava_pretrain/images/00414/004146340.jpg", "tree", "00414/004146340.jpg"),
    ("llava-pretrain", "LLaVA-Pretrain/images/images/00414/004146340.jpg", "tree", "00414/004146340.jpg"),
    ("llava-pretrain", "LLaVA-Pretrain/images/GCC_train_000000042.jpg", None, None),
    ("sam", "sa_545504.jpg", "archive", "sa_545504.jpg"),
    ("sam", "sa_000020/sa_545504.jpg", "folder", "sa_545504.jpg"),
    ("sam", "ShareGPT4V/data/sam/images/sa_545504.jpg", "tree", "sa_545504.jpg"),
    ("sam", "sa_545504.json", None, None),
    ("share-textvqa", "data/share_textvqa/images/1.jpg", "tree", "1.jpg"),
    ("wikiart", "data/wikiart/images/a_b.jpg", "tree", "a_b.jpg"),
    ("web-celebrity", "images/a b.jpg", "archive", "a b.jpg"),
    ("web-landmark", "data/web-landmark/images/a.jpg", "tree", "a.jpg"),
    ("web-landmark", "data/web-celebrity/images/a.jpg", None, None),
    ("dvqa", "images/bar_train_00000001.png", "archive", "bar_train_00000001.png"),
    ("dvqa", "playground/data/dvqa/images/bar_val_easy_00000001.png", "tree", "bar_val_easy_00000001.png"),
    ("chartqa", "ChartQA Dataset/train/png/7.png", "archive", "train/png/7.png"),
    ("chartqa", "playground/data/chartqa/train/png/two_col_7.png", "tree", "train/png/two_col_7.png"),
    ("chartqa", "ChartQA Dataset/train/tables/7.csv", None, None),
    ("ai2d", "abc_images/1.png", "archive", "abc_images/1.png"),
    ("ai2d", "playground/data/ai2d/images/1.png", "tree", "images/1.png"),
    ("docvqa", "train/documents/ffbf0023_4.png", "archive", "train/documents/ffbf0023_4.png"),
    ("docvqa", "data/docvqa/train/documents/ffbf0023_4.png", "tree", "train/documents/ffbf0023_4.png"),
    ("geoqa", "images/1.png", "archive", "1.png"),
    ("geoqa", "geoqa+_images/1.png", "archive", "1.png"),
    ("geoqa", "playground/data/geoqa+/images/1.png", "tree", "1.png"),
    ("geoqa", "1.png", "flat", "1.png"),
    ("synthdog", "synthdog-en-images/1.jpg", "archive", "1.jpg"),
    ("synthdog", "data/synthdog-en/images/1.jpg", "tree", "1.jpg"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "member", "layout", "path"), MEMBERS)
def test_a_member_leads_to_the_path_that_records_use(source, member, layout, path):
    found = {one.name: way for one in sources.find(source).layouts if (way := one.path_of(member))}
    assert found == ({layout: path} if layout else {})
