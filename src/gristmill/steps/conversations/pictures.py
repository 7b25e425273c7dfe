"""What is behind the paths of a file of records: each medium is looked at once, however many records have it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from gristmill.media.errors import Undecodable
from gristmill.media.pool import CodecPool
from gristmill.media.settings import ImageSettings
from gristmill.media.sniff import sniff
from gristmill.media.video.pool import VideoPool, has_video
from gristmill.media.video.settings import VideoSettings
from gristmill.spec.body import PIECE_BYTES, FileBody, release
from gristmill.spec.errors import UsageError
from gristmill.spec.reasons import Reason
from gristmill.steps.conversations.conversation import MediumFact, key_of
from gristmill.steps.loop_thread import LoopThread
from gristmill.storage.archives import (
    Archive,
    ArchiveSource,
    Entry,
    Indexed,
    MemberRefused,
    archives_of,
    parts_beside,
    write_index,
)
from gristmill.storage.archives.names import member_name
from gristmill.storage.files import machine_error

__all__ = ["PLACEHOLDER_NAMES", "MediaFacts"]

PLACEHOLDER_NAMES = 10
"""The same bytes under so many names are a placeholder."""
_SETTINGS = ImageSettings(only_check=True, phash=False, max_pixels=1_000_000_000)
_VIDEO_SETTINGS = VideoSettings(max_pixels=1 << 28, max_duration_s=24 * 3600, max_streams=1000)
_MOST_BYTES = 256 << 20
_HEAD_BYTES = 4096
_PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "bmp"})
_NO_VIDEO = frozenset({"html", "json", "xml", "svg", "empty", "zip", "gzip", "pdf", "executable"})
_CODES = {
    Reason.EMPTY: "media_empty",
    Reason.NOT_AN_IMAGE: "media_other",
    Reason.UNSUPPORTED: "media_other",
}
_VIDEO_CODES = {
    Reason.EMPTY: "media_empty",
    Reason.NOT_A_VIDEO: "media_other",
    Reason.NO_VIDEO_STREAM: "no_video_stream",
    Reason.BROKEN_TAIL: "broken_tail",
}
_MISSING = {"video": "video_missing"}
_UNREADABLE = {"video": "video_unreadable"}
_NOT_THERE = frozenset({"media_missing", *_MISSING.values()})
_BOX = re.compile(r"###\s*\[[^\]]*\]\s*$")
_FOLDERS_KEPT = 256
_FOLDER_NAMES = 100_000


class _Found(NamedTuple):
    """A medium in a root.

    Attributes:
        name: Its name there, in truth.
        size_bytes: Its size; -1 of a folder of frames.
        order: Where it lies among those of its root.
        refused: Why it cannot be read.
        entry: Of an archive.
    """

    name: str
    size_bytes: int
    order: tuple[int, int] = (0, 0)
    refused: str = ""
    entry: Entry | None = None


class _MediaRoot(Protocol):
    """A folder, or some archives."""

    def find(self, names: Sequence[str]) -> list[_Found | None]:
        """Say what is there under each name."""

    def read(self, found: _Found, most_bytes: int) -> bytes:
        """Its bytes, or the first of them.

        Raises:
            MemberRefused, OSError: They cannot be had.
        """

    def file(self, found: _Found, scratch: Path) -> FileBody:
        """Its bytes as a file: where it lies, or copied into the folder ``scratch``.

        Raises:
            MemberRefused, OSError: They cannot be had.
        """

    def frames(self, found: _Found) -> list[str]:
        """Names in a folder that is a video as its frames."""

    def example(self) -> str:
        """The name of one thing that lies in it; empty where there is none."""


class MediaFacts:
    """Media in folders and archives, and what was found of each.

    Args:
        roots: Folders, to which paths are relative; archives, whose members they name; one part of a split archive
            stands for all beside it. The first that has a medium counts.
        min_side_px: A picture with a shorter side fails ``media_tiny``.
        processes: Decoders.

    Attributes:
        facts: By :func:`key_of` the path.
        undecoded: Videos of which it was only seen that they are there, because the library for them is not.

    Raises:
        UsageError: A root is not there.
        SourceError: An archive cannot be read.
    """

    def __init__(self, roots: Sequence[Path], *, min_side_px: int, processes: int) -> None:
        self.facts: dict[int, MediumFact] = {}
        self._min_side_px, self._processes = min_side_px, processes
        self._names_of: Counter[int] = Counter()
        self._example = ""
        self._loop: LoopThread | None = None
        self._decoders: CodecPool | None = None
        self._videos: VideoPool | None = None
        self.undecoded = 0
        self._folders = [str(root.absolute()) for root in roots if root.is_dir()]
        with ExitStack() as files:
            self._scratch = Path(files.enter_context(TemporaryDirectory(prefix="gristmill-check-")))
            archives = enumerate(archives_of(_with_parts(roots)))
            self._roots = [_root(archive, self._scratch / f"{number}.index") for number, archive in archives]
            self._files = files.pop_all()
        self._used = [False] * len(self._roots)

    @property
    def unused(self) -> list[tuple[str, str]]:
        """Roots in which no medium was found, each with what lies in it: another leading folder, say, is seen so."""
        return [
            (str(root), root.example())
            for root, used in zip(self._roots, self._used, strict=True)
            if not used
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            for pool in (self._decoders, self._videos):
                if pool is not None:
                    self._loop.wait_for(pool.close())
            self._loop.close()
        self._files.close()

    def look(self, media: Iterable[tuple[str, str]]) -> None:
        """Look at those of some media, each a kind and a path, that were not looked at yet."""
        new = {path: kind for kind, path in media if key_of(path) not in self.facts}
        looked: list[tuple[int, str, _Found]] = []
        for path, (number, found) in zip(new, self._find(list(new)), strict=True):
            if found is None:
                self._example = path
                self.facts[key_of(path)] = MediumFact(_MISSING.get(new[path], "media_missing"))
            elif found.refused:
                code = _UNREADABLE.get(new[path], "media_undecodable")
                self.facts[key_of(path)] = MediumFact(code, found.refused)
            elif not found.size_bytes:
                self.facts[key_of(path)] = MediumFact("media_empty")
            elif new[path] == "audio":
                self.facts[key_of(path)] = self._sound(number, found)._replace(
                    name=self._own_name(path, found)
                )
            else:
                looked.append((number, path, found))
        if looked:
            looked.sort(key=lambda one: (one[0], one[2].order))
            if self._loop is None:
                self._loop = LoopThread("check")
            self._loop.wait_for(self._decode(iter(looked), new))

    def finish(self) -> None:
        """Mark those that have the bytes of many others, once all media were looked at.

        Raises:
            UsageError: None of them was there, so that something else was meant than the roots.
        """
        if self.facts and all(fact.code in _NOT_THERE for fact in self.facts.values()):
            packed = {root.example() for root in self._roots if isinstance(root, _ArchiveRoot)}
            there = sorted(packed.union(*map(os.listdir, self._folders)) - {""})[:5]
            raise UsageError(
                f"none of {len(self.facts):,} media is where --media says, such as {self._example!r}"
                + (f"; there is {', '.join(map(repr, there))}" if there else "")
                + ". Give the folder that such paths are relative to, or the archive that holds them."
            )
        for key, fact in self.facts.items():
            names = self._names_of[fact.digest]
            if not fact.code and names >= PLACEHOLDER_NAMES:
                self.facts[key] = fact._replace(code="media_placeholder", detail=f"{names:,} names")

    def _find(self, paths: list[str]) -> Iterator[tuple[int, _Found | None]]:
        """For each path the number of the root that has it, and what is there; nothing outside is looked for."""
        names = [self._name(path) for path in paths]
        in_roots = [root.find(names) for root in self._roots]
        for place in range(len(names)):
            there = [(number, found[place]) for number, found in enumerate(in_roots) if found[place]]
            for number, _ in there:
                self._used[number] = True
            good = [one for one in there if one[1] is not None and not one[1].refused]
            yield (good or there or [(0, None)])[0]

    def _name(self, path: str) -> str:
        """A path as a name within the roots; empty where it leads elsewhere."""
        path = _BOX.sub("", path).replace("\\", "/")
        for folder in self._folders:
            path = path.removeprefix(f"{folder}/")
        name, refusal = member_name(path.encode("utf-8", "replace"))
        return "" if refusal else name

    def _own_name(self, path: str, found: _Found) -> str:
        """The medium's own name, where the path says another."""
        return "" if found.name == self._name(path) else found.name

    async def _decode(self, media: Iterator[tuple[int, str, _Found]], kinds: Mapping[str, str]) -> None:
        async def some() -> None:
            for number, path, found in media:
                one = self._video if kinds[path] == "video" else self._picture
                fact = await one(number, found)
                self.facts[key_of(path)] = fact._replace(name=self._own_name(path, found))

        await asyncio.gather(*(some() for _ in range(2 * self._processes)))

    async def _picture(self, number: int, found: _Found) -> MediumFact:
        if found.size_bytes < 0:
            return MediumFact("media_other", "it is a folder")
        try:
            body = self._roots[number].read(found, _MOST_BYTES)
        except (MemberRefused, OSError) as err:
            return MediumFact("media_undecodable", str(err))
        digest = int.from_bytes(hashlib.sha256(body).digest()[:8], "big")
        if self._decoders is None:
            self._decoders = CodecPool(_SETTINGS, processes=self._processes)
        try:
            picture = await self._decoders.transcode(body)
        except Undecodable as err:
            return MediumFact(_CODES.get(err.reason, "media_undecodable"), str(err), digest=digest)
        self._names_of[digest] += 1
        width, height = picture.original_width_px, picture.original_height_px
        if min(width, height) < self._min_side_px:
            return MediumFact("media_tiny", f"{width} x {height} px", width, height, digest)
        return MediumFact("", "", width, height, digest)

    async def _video(self, number: int, found: _Found) -> MediumFact:
        """A video, decoded to the last frame; a folder of its frames."""
        root = self._roots[number]
        if found.size_bytes < 0:
            names = root.frames(found)
            strange = [name for name in names if name.rpartition(".")[2].lower() not in _PICTURES]
            if strange:
                return MediumFact("media_other", f"{strange[0]} among its frames")
            return MediumFact(frames=len(names))
        if not has_video():
            fact = self._sound(number, found)
            self.undecoded += not fact.code
            return fact
        if self._videos is None:
            self._videos = VideoPool(_VIDEO_SETTINGS, processes=self._processes)
        body: FileBody | None = None
        try:
            body = root.file(found, self._scratch)
            facts = await self._videos.probe(body)
        except (MemberRefused, OSError) as err:
            return MediumFact("video_unreadable", str(err))
        except Undecodable as err:
            return MediumFact(_VIDEO_CODES.get(err.reason, "video_unreadable"), str(err))
        finally:
            release(body)
        fact = MediumFact(
            width_px=facts.width_px, height_px=facts.height_px, fps=facts.fps, frames=facts.frames
        )
        if facts.broken_tail:
            return fact._replace(code="broken_tail", detail=f"{facts.frames} frames decode")
        return fact

    def _sound(self, number: int, found: _Found) -> MediumFact:
        """A sound, or a video that cannot be decoded here: no page, and not empty."""
        if found.size_bytes < 0:
            return MediumFact()
        try:
            form = sniff(self._roots[number].read(found, _HEAD_BYTES))
        except (MemberRefused, OSError) as err:
            return MediumFact("media_undecodable", str(err))
        return MediumFact("media_other", form) if form in _NO_VIDEO else MediumFact()


def _with_parts(roots: Sequence[Path]) -> list[Path]:
    """Roots, with all files of an archive of which a part is among them, each once.

    Raises:
        MachineError: The system does not let us look.
    """
    found: dict[Path, None] = {}
    for root in roots:
        try:
            found |= dict.fromkeys(parts_beside(root) if root.is_file() else (root,))
        except OSError as err:
            raise machine_error(err, root) from err
    return list(found)


def _root(archive: Archive, index: Path) -> _MediaRoot:
    if archive.is_folder:
        return _FolderRoot(archive.paths[0])
    write_index(archive, index)
    return _ArchiveRoot(archive, index)


class _ArchiveRoot:
    """See :class:`_MediaRoot`."""

    def __init__(self, archive: Archive, index: Path) -> None:
        self._archive, self._indexed = archive, Indexed(archive, index)
        self._source = ArchiveSource([self._indexed])

    def __str__(self) -> str:
        return str(self._archive)

    def example(self) -> str:
        """See :class:`_MediaRoot`."""
        return next((entry.name for entry in self._indexed.index.entries()), "")

    def find(self, names: Sequence[str]) -> list[_Found | None]:
        """See :class:`_MediaRoot`."""
        return [
            entry
            and _Found(
                entry.name,
                entry.size_bytes,
                (entry.archive, entry.offset),
                "" if entry.refused is None else str(entry.refused),
                entry,
            )
            for entry in self._source.find(names)
        ]

    def read(self, found: _Found, most_bytes: int) -> bytes:
        """See :class:`_MediaRoot`."""
        assert found.entry is not None
        with self._source.open(found.entry) as stream:
            return stream.read(most_bytes)

    def file(self, found: _Found, scratch: Path) -> FileBody:
        """See :class:`_MediaRoot`."""
        assert found.entry is not None
        with (
            self._source.open(found.entry) as stream,
            NamedTemporaryFile(dir=scratch, delete=False) as copy,
        ):
            body = FileBody(path=Path(copy.name), size_bytes=found.size_bytes, temporary=True)
            try:
                shutil.copyfileobj(stream, copy, PIECE_BYTES)
            except BaseException:  # an interruption too; and it is raised on
                release(body)
                raise
        return body

    def frames(self, found: _Found) -> list[str]:
        """See :class:`_MediaRoot`: an archive has no folders."""
        return []


class _FolderRoot:
    """See :class:`_MediaRoot`. Links are followed, as a trainer does: they are the owner's."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"{root} is no folder.")
        self._root = root
        self._listed: dict[str, dict[str, str]] = {}

    def __str__(self) -> str:
        return str(self._root)

    def example(self) -> str:
        """See :class:`_MediaRoot`."""
        try:
            with os.scandir(self._root) as entries:
                return min((f"{one.name}/" if one.is_dir() else one.name for one in entries), default="")
        except OSError:
            return ""

    def find(self, names: Sequence[str]) -> list[_Found | None]:
        """See :class:`_MediaRoot`."""
        return [self._one(name) if name else None for name in names]

    def _one(self, name: str) -> _Found | None:
        found = self._at(name)
        if found is None and (other := self._loosely(name)):
            found = self._at(other)
        return found

    def _at(self, name: str) -> _Found | None:
        path = os.path.join(self._root, name)
        try:
            size = os.stat(path).st_size
            is_file, is_folder = os.path.isfile(path), os.path.isdir(path)
        except (OSError, ValueError):
            return None
        if is_folder:
            return _Found(name, -1 if os.listdir(path) else 0)
        return _Found(name, size, refused="" if is_file else "it is no regular file")

    def _loosely(self, name: str) -> str:
        """The name of a file that differs by case or Unicode form alone; empty where there is none."""
        found = ""
        for part in name.split("/"):
            names = self._names_in(found)
            own = (
                part
                if os.path.lexists(os.path.join(self._root, found, part))
                else names.get(_folded(part), "")
            )
            if not own:
                return ""
            found = f"{found}/{own}" if found else own
        return found

    def _names_in(self, folder: str) -> dict[str, str]:
        if folder not in self._listed:
            if len(self._listed) >= _FOLDERS_KEPT:
                self._listed.clear()
            names: dict[str, str] = {}
            try:
                with os.scandir(os.path.join(self._root, folder)) as entries:
                    for entry in entries:
                        names[_folded(entry.name)] = entry.name
                        if len(names) > _FOLDER_NAMES:
                            names = {}  # a folder that large is looked into by exact names alone
                            break
            except OSError:
                pass
            self._listed[folder] = names
        return self._listed[folder]

    def read(self, found: _Found, most_bytes: int) -> bytes:
        """See :class:`_MediaRoot`."""
        with open(os.path.join(self._root, found.name), "rb") as stream:
            # no more: Python reserves what is asked for
            return stream.read(min(most_bytes, found.size_bytes))

    def file(self, found: _Found, scratch: Path) -> FileBody:
        """See :class:`_MediaRoot`."""
        return FileBody(path=self._root / found.name, size_bytes=found.size_bytes)

    def frames(self, found: _Found) -> list[str]:
        """See :class:`_MediaRoot`. What a trainer's ``*`` finds: no hidden files."""
        return sorted(name for name in os.listdir(self._root / found.name) if not name.startswith("."))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).lower()
