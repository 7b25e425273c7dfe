"""The counting behind the step ``same_picture``: two passes over the fates, in memory that does not grow with them.

The first pass finds hashes that occur often enough: of the bytes, by the leading 64 bits of their SHA-256, and of
the picture, by its perceptual hash. The second looks at the media with such a hash, or one near it: from how many
different URLs they came, and from which hosts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gristmill.spec.sample import Json
from gristmill.steps.near import Near, leaders
from gristmill.steps.spill import PORTIONS, Spill

__all__ = ["COLUMNS", "VERDICT_SCHEMA", "flagged", "tally"]

COLUMNS = ("reason", "url", "sha256", "phash")

VERDICT_SCHEMA = pa.schema(
    [
        pa.field("picture", pa.int32()),  # rows of one number are one picture; 0 has the most URLs
        pa.field(
            "sha256", pa.string()
        ),  # of the bytes as they came; null where the row names a perceptual hash
        pa.field("phash", pa.string()),
        pa.field("media", pa.int64()),  # of the picture
        pa.field("urls", pa.int64()),  # different ones
        pa.field("files", pa.int64()),  # different bytes
        pa.field("hosts", pa.int64()),
        pa.field("host", pa.string()),  # the one with the most media
        pa.field("example_url", pa.string()),
    ]
)
"""One row for each hash of a picture that many URLs were answered with."""

_SEEN = np.dtype([("picture", "<u4"), ("host", "<u4"), ("url", "<u8"), ("file", "<u8")])
_HOSTS_TOLD = 20
_PICTURES_TOLD = 12
_MOST_HOSTS = 1 << 22
_HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]/]*\]|[^/?#:]*)"

Hashes = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class Suspects:
    """Hashes that occur often, and the picture each stands for."""

    sha: Hashes
    sha_picture: Ints
    phash: Hashes
    phash_picture: Ints
    bits: int
    near: Near = field(init=False)

    def __post_init__(self) -> None:
        self.near = Near(self.phash, self.bits)

    def picture(self, sha: Hashes, phash: Hashes, hashed: Bools) -> Ints:
        """The picture of each medium, -1 if it is none of them. The perceptual hash goes first."""
        found = np.full(len(sha), -1, np.int64)
        if len(self.sha):
            place = np.minimum(np.searchsorted(self.sha, sha), len(self.sha) - 1)
            found = np.where(self.sha[place] == sha, self.sha_picture[place], -1)
        if len(self.phash) and hashed.any():
            nearest = self.near.find(phash[hashed])
            seen = np.flatnonzero(hashed)[nearest >= 0]
            found[seen] = self.phash_picture[nearest[nearest >= 0]]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TalliedPicture:
    """One picture: how often it was answered, and where; ``host`` is the number of the one that did most often."""

    media: int
    urls: int
    files: int
    hosts: int
    host: int


def tally(
    fates: Callable[[], Iterator[Any]], scratch: Path, *, min_urls: int, max_distance: int | None
) -> tuple[pa.Table, Json]:
    """See :class:`gristmill.spec.barrier.GlobalFilter`; ``max_distance`` in bits, None for identical bytes alone."""
    suspects = _suspects(fates(), scratch, min_urls, max_distance)
    if not len(suspects.sha) and not len(suspects.phash):
        return VERDICT_SCHEMA.empty_table(), {}
    witnesses = _Witnesses(suspects, scratch)
    for batch in fates():
        witnesses.hear(batch)
    pictures = dict(witnesses.pictures(min_urls))
    ranked = sorted(pictures, key=lambda number: (-pictures[number].urls, witnesses.example[number]))
    rows = [
        row for rank, number in enumerate(ranked) for row in witnesses.rows(rank, number, pictures[number])
    ]
    blocklist = pa.Table.from_pylist(rows, VERDICT_SCHEMA)
    return blocklist, _summary(blocklist, list(pictures.values()), witnesses)


def flagged(fates: pa.Table, blocklist: pa.Table, max_distance: int | None) -> Bools:
    """Mark the kept media of one task that are on the blocklist."""
    kept = pc.is_null(fates["reason"]).to_numpy(zero_copy_only=False)
    named = pc.is_in(fates["sha256"], blocklist["sha256"].combine_chunks(), skip_nulls=True)
    found: Bools = np.asarray(named.to_numpy(zero_copy_only=False), bool)
    known = blocklist["phash"].drop_null()
    if max_distance is not None and len(known):
        phash, hashed = _hexes(fates["phash"])
        found = found | (hashed & (Near(_hexes(known)[0], max_distance).find(phash) >= 0))
    both: Bools = found & kept
    return both


def _suspects(batches: Iterator[Any], scratch: Path, least: int, max_distance: int | None) -> Suspects:
    shas, phashes = Spill(scratch, "sha256", "<u8"), Spill(scratch, "phash", "<u8")
    for batch in batches:
        sha, phash, hashed = _kept_hashes(batch)
        shas.add(sha, (sha >> np.uint64(56)).astype(np.int64))
        if max_distance is not None:
            seen = phash[hashed]
            phashes.add(seen, _scattered(seen))
    phash = _frequent(phashes, least)
    led = leaders(phash, max_distance or 0)
    sha = np.sort(_frequent(shas, least))
    return Suspects(
        sha=sha,
        sha_picture=len(phash) + np.arange(len(sha)),
        phash=phash,
        phash_picture=led,
        bits=max_distance or 0,
    )


def _scattered(hashes: Hashes) -> Ints:
    """A portion for each perceptual hash, whose own bits are far from even."""
    with np.errstate(over="ignore"):
        return ((hashes * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(56)).astype(np.int64)


def _frequent(spill: Spill, least: int) -> Hashes:
    """Values that occur at least so often, the most frequent first."""
    values, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for portion in spill.portions():
        value, count = np.unique(portion, return_counts=True)
        values.append(value[count >= least])
        counts.append(count[count >= least])
    value, count = np.concatenate(values), np.concatenate(counts)
    return value[np.lexsort((value, -count))]


def _kept_hashes(batch: Any) -> tuple[Hashes, Hashes, Bools]:
    """Leading 64 bits of the bytes' hash, perceptual hash, and whether there is one; of media that were kept."""
    batch = batch.filter(_kept(batch))
    phash, hashed = _hexes(_column(batch, "phash"))
    return _hexes(_column(batch, "sha256"))[0], phash, hashed


def _kept(batch: Any) -> Any:
    return pc.and_(pc.is_null(batch["reason"]), pc.is_valid(batch["sha256"]))


def _column(batch: Any, name: str) -> Any:
    return batch[name] if name in batch.schema.names else pa.nulls(batch.num_rows, pa.string())


def _hexes(texts: Any) -> tuple[Hashes, Bools]:
    """The leading 16 hexadecimal digits of each text as a number, and whether there are as many; 0 where not."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    good = pc.fill_null(pc.match_substring_regex(texts, "^[0-9a-fA-F]{16}"), False)
    digits = pc.utf8_slice_codeunits(pc.if_else(good, texts, "0" * 16), 0, 16)
    packed = np.array(bytearray.fromhex("".join(digits.to_pylist())), np.uint8).view(">u8").astype(np.uint64)
    return packed, np.asarray(good.to_numpy(zero_copy_only=False), bool)


class _Witnesses:
    """The second pass: which media show a suspected picture, and where they came from."""

    def __init__(self, suspects: Suspects, scratch: Path) -> None:
        self._suspects = suspects
        self._seen = Spill(scratch, "seen", _SEEN)
        self._host_ids: dict[str, int] = {}
        self._names: list[str] = []
        self._full: dict[int, str] = {}
        self.example: dict[int, str] = {}

    @property
    def hosts(self) -> list[str]:
        """Names of hosts by their number."""
        if len(self._names) < len(self._host_ids):
            self._names = list(self._host_ids)
        return self._names

    def hear(self, batch: Any) -> None:
        """Take note of one batch of fates."""
        batch = batch.filter(pc.and_(_kept(batch), pc.is_valid(batch["url"])))
        sha, phash, hashed = _kept_hashes(batch)
        picture = self._suspects.picture(sha, phash, hashed)
        places = np.flatnonzero(picture >= 0)
        if not len(places):
            return
        shown = batch.take(pa.array(places))
        urls, own = shown["url"].to_pylist(), picture[places]
        records = np.empty(len(places), _SEEN)
        records["picture"] = own
        records["host"] = self._hosts_of(shown["url"])
        records["url"] = [_url_hash(url) for url in urls]
        records["file"] = sha[places]
        self._seen.add(records, own % PORTIONS)
        for number, url, digest in zip(own.tolist(), urls, shown["sha256"].to_pylist(), strict=True):
            if url < self.example.get(number, "\U0010ffff"):
                self.example[number] = url
            if number >= len(self._suspects.phash):
                self._full.setdefault(int(digest[:16], 16), digest)

    def _hosts_of(self, urls: Any) -> list[int]:
        hosts = pc.struct_field(pc.extract_regex(urls, _HOST), "host")
        return [self._host_id((host or "?").lower()) for host in hosts.to_pylist()]

    def _host_id(self, host: str) -> int:
        if host not in self._host_ids and len(self._host_ids) >= _MOST_HOSTS:
            host = "(other hosts)"
        return self._host_ids.setdefault(host, len(self._host_ids))

    def pictures(self, min_urls: int) -> Iterator[tuple[int, TalliedPicture]]:
        """Each suspected picture that came from enough URLs, with its number; counts for the hosts on the way."""
        names = self.hosts
        self.host_media, self.host_pictures = np.zeros((2, len(names)), np.int64)
        for seen in self._seen.portions():
            portion = seen[np.argsort(seen["picture"], kind="stable")]
            numbers, starts = np.unique(portion["picture"], return_index=True)
            for number, own in zip(numbers.tolist(), np.split(portion, starts[1:]), strict=True):
                urls, files = (len(np.unique(own[name])) for name in ("url", "file"))
                if urls < min_urls:
                    continue
                hosts, counts = np.unique(own["host"], return_counts=True)
                self.host_media[hosts] += counts
                self.host_pictures[hosts] += 1
                most = min(hosts[counts == counts.max()].tolist(), key=names.__getitem__)
                yield (
                    number,
                    TalliedPicture(media=len(own), urls=urls, files=files, hosts=len(hosts), host=most),
                )

    def rows(self, rank: int, number: int, picture: TalliedPicture) -> Iterator[dict[str, Json]]:
        """The blocklist's rows of one picture: one for each of its hashes."""
        common = {
            "picture": rank,
            "media": picture.media,
            "urls": picture.urls,
            "files": picture.files,
            "hosts": picture.hosts,
            "host": self.hosts[picture.host],
            "example_url": self.example[number],
        }
        suspects = self._suspects
        for value in suspects.phash[suspects.phash_picture == number].tolist():
            yield {**common, "sha256": None, "phash": f"{value:016x}"}
        for value in suspects.sha[suspects.sha_picture == number].tolist():
            yield {**common, "sha256": self._full[value], "phash": None}


def _url_hash(url: str) -> int:
    digest = hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _summary(blocklist: pa.Table, pictures: list[TalliedPicture], witnesses: _Witnesses) -> Json:
    """For the record: sums, the hosts with the most such media, the pictures with the most URLs."""
    if not pictures:
        return {}
    media, names = witnesses.host_media, witnesses.hosts
    concerned = np.flatnonzero(media).tolist()
    ranked = sorted(concerned, key=lambda host: (-media[host], names[host]))[:_HOSTS_TOLD]
    first: dict[int, dict[str, Json]] = {}
    for row in blocklist.slice(0, 64 * _PICTURES_TOLD).to_pylist():
        first.setdefault(row.pop("picture"), row)
    return {
        "pictures": len(pictures),
        "media": sum(picture.media for picture in pictures),
        "urls": sum(picture.urls for picture in pictures),
        "hosts": [
            {"host": names[n], "media": int(media[n]), "pictures": int(witnesses.host_pictures[n])}
            for n in ranked
        ],
        "more_hosts": len(concerned) - len(ranked),
        "largest": list(first.values())[:_PICTURES_TOLD],
    }
