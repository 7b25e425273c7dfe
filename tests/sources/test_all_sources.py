"""Every shared media source: a file whose key is its name, known by checksums or told how it is had by hand."""

import importlib

import pytest

from gristmill import sources
from gristmill.spec.errors import RecipeError, UnknownName
from gristmill.spec.media_source import Download, MemberLayout
from gristmill.spec.recipe import Source


@pytest.fixture(params=sources.names())
def source(request):
    return sources.find(request.param)


def test_a_source_is_its_file(source):
    assert source.key.replace("_", "-") in sources.names()
    assert source.role == "media"
    assert source.title
    assert source.license != "unknown"
    module = importlib.import_module(f"gristmill.sources.{source.key.replace('-', '_')}")
    assert module.SOURCE is source
    assert len(module.__doc__.split()) > 20


def test_a_source_says_how_large_it_is_and_how_it_is_had(source):
    assert source.size_bytes or source.hub
    assert source.layouts
    assert all(layout.example for layout in source.layouts)  # which fits, or the layout is refused
    if source.hub and source.revision == "main":  # what it holds is not known for certain
        assert source.by_hand
        assert source.address
    if not (source.hub or source.downloads):
        assert source.by_hand
        assert source.address
    assert sum(one.size_bytes for one in source.downloads) in (0, source.size_bytes)


@pytest.mark.parametrize(
    ("member", "layout"),
    [
        ("train2017/000000000009.jpg", "archive"),
        ("images/Train2017/000000000009.JPG", "archive"),
        ("playground/data/coco/train2017/000000000009.jpg", "tree"),
        ("000000000009.jpg", "flat"),
        ("val2017/000000000009.jpg", None),
        ("annotations/captions_train2017.json", None),
    ],
)
def test_coco_is_found_in_each_of_its_layouts(member, layout):
    paths = {one.name: path for one in sources.find("coco").layouts if (path := one.path_of(member))}
    assert list(paths) == ([layout] if layout else [])
    assert [path.lower() for path in paths.values()] == ["train2017/000000000009.jpg"] * len(paths)


def test_an_example_that_is_not_of_its_layout_is_refused():
    with pytest.raises(RecipeError, match=r"its example train/1\.png is not like"):
        MemberLayout(name="archive", member=r"train/\d+\.jpg", example="train/1.png")


def test_no_such_source():
    with pytest.raises(UnknownName, match="Did you mean 'coco'"):
        sources.find("cocoa")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "zip"}, "format is archives or folder or parquet"),
        ({"format": "archives"}, "has a hub, downloads, or a sentence"),
        ({"format": "archives", "by_hand": "Fetch it.", "key": "A/B"}, "folder's name"),
        (
            {
                "format": "archives",
                "by_hand": "Fetch it.",
                "layouts": (MemberLayout(name="a", member="b"),) * 2,
            },
            "one",
        ),
        ({"role": "rows", "stems": True}, "only a media source"),
    ],
)
def test_a_media_source_that_contradicts_itself(fields, said):
    with pytest.raises(RecipeError, match=said):
        Source(**{"key": "pictures", "role": "media", **fields})


@pytest.mark.parametrize(("member", "path"), [("(", "a"), ("a", r"\1"), ("(?P<a>b)", r"\g<c>")])
def test_a_layout_that_is_no_expression(member, path):
    with pytest.raises(RecipeError, match="layout 'odd'"):
        MemberLayout(name="odd", member=member, path=path)


@pytest.mark.parametrize(
    "fields",
    [{"url": "https://a.example/"}, {"size_bytes": 0}, {"sha256": "12"}, {"url": "ftp://a.example/b"}],
)
def test_a_download_that_cannot_be(fields):
    with pytest.raises(RecipeError):
        Download(**{"url": "https://a.example/b.zip", "size_bytes": 1, **fields})
