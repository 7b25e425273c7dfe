"""The format of some bytes, by their first bytes and nothing else: a server's word is not asked."""

from __future__ import annotations

__all__ = ["ALLOWED", "PICTURES", "sniff"]

ALLOWED = frozenset({"jpeg", "png", "webp", "gif", "bmp", "tiff", "avif"})
"""The formats that are handed to a decoder."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"8BPS", "psd"),
    (b"\0\0\0\x0cJXL ", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cjP  ", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"\0\0\1\0", "ico"),
    (b"DDS ", "dds"),
    (b"BLP1", "blp"),
    (b"BLP2", "blp"),
    (b"gimp xcf", "xcf"),
    (b"v/1\x01", "exr"),
    (b"#?RADIANCE", "hdr"),
    (b"II+\0", "bigtiff"),
    (b"MM\0+", "bigtiff"),
    (b"SIMPLE  =", "fits"),
    (b"%PDF", "pdf"),
    (b"%!PS", "postscript"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1a\x45\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"MZ", "executable"),
    (b"\x7fELF", "executable"),
)

_BRANDS: dict[bytes, str] = {
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"hevc": "heic",
    b"hevx": "heic",
    b"heim": "heic",
    b"heis": "heic",
    b"mif1": "heic",
    b"msf1": "heic",
    b"crx ": "raw",
}

_HTML = (
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<body",
    b"<script",
    b"<title",
    b"<meta",
    b"<div",
    b"<p>",
    b"<h1",
)

PICTURES = frozenset(
    {"heic", "psd", "jxl", "jp2", "ico", "dds", "blp", "xcf", "exr", "hdr", "bigtiff", "fits", "raw"}
)
"""Image formats that are known and refused."""


def sniff(body: bytes) -> str:
    """Name the format of ``body``.

    Returns:
        One of ``ALLOWED`` or ``PICTURES``; ``html``, ``json``, ``svg``, ``xml``, ``empty``, the name of some
        other well-known container (``pdf``, ``zip``, ``mp4`` ...); or ``unknown``.
    """
    if not body:
        return "empty"
    for magic, name in _MAGIC:
        if body.startswith(magic):
            return name
    if body[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "avi", b"WAVE": "wav"}.get(body[8:12], "riff")
    if body[4:8] == b"ftyp":
        return _iso_brand(body)
    # "BM" alone is also how a text may begin: the reserved words behind the size are zero in practice.
    if body[:2] == b"BM" and body[6:10] == b"\0\0\0\0":
        return "bmp"
    return _text(body[:1024])


def _iso_brand(body: bytes) -> str:
    """Name of an ISO base media file (ISO/IEC 14496-12) by its brands; ``mif1`` alone does not tell AVIF."""
    end = min(int.from_bytes(body[:4], "big"), 128)
    brands = [body[8:12], *(body[i : i + 4] for i in range(16, end - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "mp4")


def _text(start: bytes) -> str:
    """Tell apart the texts that servers send in place of a picture."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_HTML):
        return "html"
    if text.startswith(b"<svg") or (
        text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text
    ):
        return "svg"
    if text.startswith((b"<?xml", b"<!--", b"<!doctype")):
        return "html" if b"<html" in text else "xml"
    return "json" if text[:1] in (b"{", b"[") else "unknown"
