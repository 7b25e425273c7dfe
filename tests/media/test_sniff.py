import pytest
from made_images import photo, saved

from gristmill.media.sniff import ALLOWED, PICTURES, sniff


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_allowed_formats_are_named(kind):
    assert sniff(saved(photo(20, 16), kind)) == kind.lower()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "html"),
        (b"\xef\xbb\xbf \n<HTML lang=en>", "html"),
        (b"<!-- moved --><html>", "html"),
        (b"<?xml version='1.0'?><svg xmlns='x'>", "svg"),
        (b"<svg viewBox='0 0 1 1'>", "svg"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied", "xml"),
        (b'{"error": 404}', "json"),
        (b"BMW is a car maker", "unknown"),
        (b"8BPS\0\1", "psd"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "mp4"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"%PDF-1.7", "pdf"),
        (b"\x89PN", "unknown"),
    ],
)
def test_what_servers_send_instead(body, name):
    assert sniff(body) == name
    if name not in {"avif"}:
        assert name not in ALLOWED


def test_a_format_is_allowed_or_refused_not_both():
    assert not ALLOWED & PICTURES
