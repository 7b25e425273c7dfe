"""The index of shards, and what stops one of its readers."""

import json

import pytest

from gristmill.exports.webdataset_index import WIDS_NAME, unfit_for_coyo_wds, wids_index
from gristmill.shards.shape import Shape


def test_wids_index():
    assert WIDS_NAME == "wids-meta.json"
    shards = [("shards/00000.tar", 10, 20480, "a" * 32), ("shards/00001.tar", 7, 10240, "b" * 32)]
    assert wids_index("coyo-700m", shards) == wids_index("coyo-700m", iter(shards))
    assert json.loads(wids_index("coyo-700m", shards)) == {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": "coyo-700m",
        "shardlist": [
            {"url": "shards/00000.tar", "nsamples": 10, "filesize": 20480, "md5sum": "a" * 32},
            {"url": "shards/00001.tar", "nsamples": 7, "filesize": 10240, "md5sum": "b" * 32},
        ],
    }


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([["jpg", "txt", "json"], ["webp", "txt", "json"]], ""),
        ([["jpg", "txt", "json"], ["jpg", "json"]], "not each has a caption"),
        ([["jpg", "txt"], ["gif", "txt"]], "not each has one picture"),
        ([["json"]], "not each has one picture"),
        ([["000.jpg", "json"]], "named by position"),
    ],
)
def test_what_stops_coyo_wds_is_said(samples, why):
    shape = Shape()
    for parts in samples:
        shape.take((part, b"{}") for part in parts)
    assert (why in unfit_for_coyo_wds(shape)) if why else unfit_for_coyo_wds(shape) == ""
