"""Tells a container by its magic bytes, so that FFmpeg never guesses, and lists the codecs that are decoded."""

from __future__ import annotations

from typing import BinaryIO

from gristmill.media.errors import Undecodable
from gristmill.media.sniff import sniff
from gristmill.spec.reasons import Reason

__all__ = [
    "AUDIO_CODECS",
    "CODECS",
    "DEMUXERS",
    "HEAD_BYTES",
    "container_of",
    "empty_ends",
    "is_cut_off",
    "sound_container_of",
]

HEAD_BYTES = 4096
"""As much of a file's start as tells its container."""

DEMUXERS = {
    "mp4": "mov",
    "mov": "mov",
    "mkv": "matroska",
    "webm": "matroska",
    "avi": "avi",
    "flv": "flv",
    "wmv": "asf",
    "mpeg": "mpeg",
    "ts": "mpegts",
    "ogv": "ogg",
    "aac": "aac",
    "mp3": "mp3",
}
"""Container to FFmpeg's demuxer; the last two hold sound alone."""

CODECS = frozenset(
    [
        "h264",
        "hevc",
        "vp8",
        "vp9",
        "av1",
        "mpeg4",
        "mpeg1video",
        "mpeg2video",
        "h263",
        "flv1",
        "msmpeg4v1",
        "msmpeg4v2",
        "msmpeg4v3",
        "wmv1",
        "wmv2",
        "wmv3",
        "vc1",
        "theora",
        "mjpeg",
        "prores",
        "rawvideo",
    ]
)
"""Codecs of pictures that are decoded, by FFmpeg's names."""

AUDIO_CODECS = frozenset(
    [
        "aac",
        "mp3",
        "mp2",
        "ac3",
        "eac3",
        "opus",
        "vorbis",
        "flac",
        "alac",
        "wmav1",
        "wmav2",
        "amrnb",
        "amrwb",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_u8",
        "pcm_s24le",
        "pcm_f32le",
        "pcm_mulaw",
        "pcm_alaw",
        "adpcm_ms",
        "adpcm_ima_wav",
    ]
)
"""Codecs of sound that are decoded."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"FLV\x01", "flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wmv"),
    (b"\0\0\1\xba", "mpeg"),
    (b"OggS", "ogv"),
)
# First boxes of QuickTime files that are older than "ftyp" (QuickTime File Format, "Overview of the file format").
_BOXES = (b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot")
_TS_PACKET_BYTES = 188
_DOC_TYPE = b"\x42\x82"
_SEGMENT = b"\x18\x53\x80\x67"
_ENTRY_BYTES = 16
_MOST_INDEX_BYTES = 1 << 20
_MOST_BOXES = 1000


def container_of(head: bytes) -> str:
    """Name the container of a file that begins with ``head``.

    Returns:
        A key of ``DEMUXERS``.

    Raises:
        Undecodable: EMPTY, or NOT_A_VIDEO with what it is.
    """
    if not head:
        raise Undecodable(Reason.EMPTY)
    found = _container(head)
    if found is None:
        raise Undecodable(Reason.NOT_A_VIDEO, sniff(head))
    return found


def sound_container_of(head: bytes) -> str:
    """Name the container of a file that may hold sound alone; see :func:`container_of`."""
    behind = head
    if head[:3] == b"ID3" and len(head) >= 10:  # ID3v2.4 structure, 3.1: its size has seven bits a byte
        behind = head[10 + sum((byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(head[6:10])) :]
    # A frame begins with eleven or twelve bits that are set; the layer is 0 in ADTS (ISO/IEC 13818-7, 6.2) alone.
    if len(behind) > 1 and behind[0] == 0xFF and behind[1] & 0xE0 == 0xE0:
        return "aac" if behind[1] & 0xF6 == 0xF0 else "mp3"
    return container_of(head)


def _container(head: bytes) -> str | None:
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp" and sniff(head) == "mp4":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head[4:8] in _BOXES and int.from_bytes(head[:4], "big") != 0:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _matroska(head)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if len(head) > 2 * _TS_PACKET_BYTES and all(head[n * _TS_PACKET_BYTES] == 0x47 for n in range(3)):
        return "ts"
    return None


def _matroska(head: bytes) -> str | None:
    """Tell by the DocType in the EBML header (RFC 8794, 11.2.6)."""
    at = head.find(_DOC_TYPE, 0, 128)
    if at < 0:
        return None
    name = head[at + 3 : at + 3 + (head[at + 2] & 0x7F)].rstrip(b"\0")
    return {b"webm": "webm", b"matroska": "mkv"}.get(name)


def is_cut_off(stream: BinaryIO, name: str) -> bool:
    """Say whether a file ends before its own outermost sizes say so; containers that do not tell are not."""
    size_bytes = stream.seek(0, 2)
    if name in ("mp4", "mov"):
        return _boxes_end(stream, size_bytes) > size_bytes
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    if name == "avi":
        return int.from_bytes(head[4:8], "little") + 8 > size_bytes
    if name in ("mkv", "webm"):
        return _segment_end(head) > size_bytes
    return False


def empty_ends(stream: BinaryIO) -> dict[int, int]:
    """Count the empty chunks at the end of each stream of an AVI, by its index (``idx1``, Microsoft's AVI RIFF).

    An empty chunk shows the frame before it once more, and no demuxer hands one out.
    """
    size_bytes = stream.seek(0, 2)
    at = 12
    for _ in range(_MOST_BOXES):
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8 or at >= size_bytes:
            break
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"idx1":
            kept = min(length, _MOST_INDEX_BYTES) // _ENTRY_BYTES * _ENTRY_BYTES
            stream.seek(at + 8 + length - kept)
            return _empty_ends_in(stream.read(kept))
        at += 8 + length + length % 2
    return {}


def _empty_ends_in(index: bytes) -> dict[int, int]:
    empty: dict[int, int] = {}
    filled: set[int] = set()
    for at in range(len(index) - _ENTRY_BYTES, -1, -_ENTRY_BYTES):
        entry = index[at : at + _ENTRY_BYTES]
        if not entry[:2].isdigit() or (number := int(entry[:2])) in filled:
            continue
        if any(entry[12:]):
            filled.add(number)
        else:
            empty[number] = empty.get(number, 0) + 1
    return empty


def _boxes_end(stream: BinaryIO, size_bytes: int) -> int:
    """Where the last of the outermost boxes ends (ISO/IEC 14496-12, 4.2)."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at >= size_bytes:
            break
        stream.seek(at)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file
            break
        at += length
    return at


def _segment_end(head: bytes) -> int:
    """Where the segment ends (RFC 9559, 5.1): 0 if that is not said."""
    at = head.find(_SEGMENT)
    if at < 0:
        return 0
    at += len(_SEGMENT)
    bytes_of_size = 9 - head[at].bit_length() if at < len(head) and head[at] else 0
    size = int.from_bytes(head[at : at + bytes_of_size], "big") & ((1 << 7 * bytes_of_size) - 1)
    unknown = size == (1 << 7 * bytes_of_size) - 1
    return 0 if unknown else at + bytes_of_size + size
