"""Visual Genome, VCR and ScienceQA: each member's name has one layout, and leads to the path that records use."""

import pytest

from gristmill import sources


@pytest.mark.parametrize(
    ("source", "member", "layout", "path"),
    [
        ("vg", "VG_100K/42.jpg", "archive", "VG_100K/42.jpg"),
        ("vg", "VG_100K_2/42.jpg", "archive", "VG_100K_2/42.jpg"),
        ("vg", "playground/data/vg/VG_100K/42.jpg", "tree", "VG_100K/42.jpg"),
        ("vg", "vg/VG_100K_2/42.jpg", "tree", "VG_100K_2/42.jpg"),
        ("vg", "VG_100K/readme.txt", None, None),
        ("vcr", "vcr1images/lsmdc_0001_A_B/0001_00.05.33,1-00.05.41@3.jpg", "archive", "@"),
        ("vcr", "sherlock/images/vcr1images/lsmdc_0001_A_B/0001_00.05.33,1-00.05.41@3.jpg", "tree", "@"),
        ("vcr", "lsmdc_0001_A_B/0001_00.05.33,1-00.05.41@3.jpg", "folders", "@"),
        ("vcr", "vcr1images/lsmdc_0001_A_B/0001_00.05.33,1-00.05.41@3.json", None, None),
        ("scienceqa", "train/7/image.png", "archive", "7/image.png"),
        ("scienceqa", "scienceqa/images/train/7/image.png", "tree", "7/image.png"),
        ("scienceqa", "7/image.png", "folders", "7/image.png"),
        ("scienceqa", "train/7/.DS_Store", None, None),
    ],
)
def test_a_member_leads_to_the_path_that_records_use(source, member, layout, path):
    found = {one.name: way for one in sources.find(source).layouts if (way := one.path_of(member))}
    expected = "lsmdc_0001_A_B/0001_00.05.33,1-00.05.41@3.jpg" if path == "@" else path
    assert found == ({layout: expected} if layout else {})
