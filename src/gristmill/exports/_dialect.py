"""Write conversations for a trainer: a folder of rows, media, a registration file, and how to start training.

A dialect is a file that derives from :class:`Dialect` and says how its trainer writes one conversation down, which
ones it cannot read, and where it looks a dataset up. All else is here, once:

- Rows with the same kinds of media go into a file of their own where ``by_kinds``: readers that look at the first
  megabytes of a file for its columns (``datasets``) stop later at what they did not see there. So every row of a file
  has the same columns, and none is ever empty. Where all rows share a file, the first one with a medium is moved
  before those that have none.
- Ids are the samples' keys, which are texts.
- What looks like the place of a medium and is text does not fit, or is escaped.
- The folder appears when it is whole.
"""

from __future__ import annotations

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, ClassVar

import orjson

from gristmill.exports._conversation import MARKS, Conversation, Kind, conversation_of, without_marks
from gristmill.exports._drain import PUT_MARKS
from gristmill.exports._exporter import Exported, FinishedShards, FittingExporter, option
from gristmill.exports._folder import found_whole, whole_folder
from gristmill.exports._media_folder import MediaFolder
from gristmill.exports._unfit import Unfit
from gristmill.exports._whole import account_back, account_of, made_of
from gristmill.exports._writing import called, shard_samples
from gristmill.spec.body import LARGE_BYTES
from gristmill.spec.errors import UsageError
from gristmill.spec.sample import Json
from gristmill.spec.task import ShardInfo
from gristmill.storage.store import Place, Store

__all__ = ["Dialect", "JsonRows", "Laid", "RowFile", "RowsWritten", "command", "registered"]

_REVISION = 3
_INCOMING = ".incoming"
_MEDIA = "media"
_KINDS: tuple[Kind, ...] = ("image", "video", "frames")
_HELD_BYTES = 8 << 20
"""Of rows that wait for one with a medium; more of them wait on the disk."""
_PLURAL: Mapping[Kind, str] = {"image": "images", "video": "videos", "frames": "frames"}


@dataclass(slots=True, kw_only=True)
class RowsWritten:
    """One file of rows.

    Attributes:
        name: Its path in the folder, with ``/``; with a ``*`` where it is one for each shard.
        kinds: Kinds of media that each of its rows has; of a file for all rows, that some have.
        rows: In it so far.
        elsewhere: Rows with a medium elsewhere than before the first words.
    """

    name: str
    kinds: tuple[Kind, ...]
    rows: int = 0
    elsewhere: int = 0

    @property
    def title(self) -> str:
        """Give what tells it from others: its name without folder and ending, or the folder of those for shards."""
        path = Path(self.name)
        return path.parent.name if path.stem == "*" else path.stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """The folder, as a trainer will find it.

    Attributes:
        name: By which the trainer is to know the dataset: small letters, digits, underscores.
        root: Absolute path of the folder.
        media: That of the media, in the folder.
        files: Of rows, in the order of their names.
    """

    name: str
    root: str
    media: str
    files: Sequence[RowsWritten]

    def at(self, name: str) -> str:
        """Absolute path of something in the folder."""
        return f"{self.root}/{name}"

    @property
    def names(self) -> dict[str, RowsWritten]:
        """A name for each file of rows: the dataset's, and what tells it from the first."""
        return {
            self.name if n == 0 else f"{self.name}_{file.title.replace('-', '_')}": file
            for n, file in enumerate(self.files)
        }


class RowFile(ABC):
    """A file of rows that is being written."""

    @abstractmethod
    def add(self, row: Mapping[str, Json]) -> None:
        """Append a row."""

    @abstractmethod
    def close(self) -> None:
        """Write the end."""


class JsonRows(RowFile):
    """A JSON array with a row a line, or JSON Lines.

    Args:
        stream: Where to write; closed at the end.
        array: It is an array.
    """

    def __init__(self, stream: BinaryIO, *, array: bool) -> None:
        self._stream, self._array, self._rows = stream, array, 0

    def add(self, row: Mapping[str, Json]) -> None:
        """See :class:`RowFile`."""
        if self._array:
            self._stream.write(b",\n" if self._rows else b"[\n")
        self._stream.write(orjson.dumps(row))
        if not self._array:
            self._stream.write(b"\n")
        self._rows += 1

    def close(self) -> None:
        """See :class:`RowFile`."""
        if self._array:
            self._stream.write(b"\n]\n" if self._rows else b"[]\n")
        self._stream.close()


@dataclass(frozen=True, kw_only=True)
class Dialect(FittingExporter):
    """A format of conversations.

    Attributes:
        trainer: Whose reader it is for.
        by_kinds: Each kind of media has a file of rows of its own.
        array: Files of rows are JSON arrays; else JSON Lines.
        takes_system, takes_video, takes_frames: Whether a system's turn, a video, or a video that is stored as its
            frames fits.
        any_case: The reader takes a tag in capitals for one too.
        what_changes: What :meth:`changing` does, as a clause.
        instead_of_video: What a user may do where no video fits, after a colon or semicolon.
    """

    reads = "conversations; captions with --question"
    loses = "columns, the facts of media and the upstream row"
    needs_all = "One file for all of it can be written when it is."

    to_stores: ClassVar[bool] = True
    trainer: ClassVar[str]
    by_kinds: ClassVar[bool] = True
    array: ClassVar[bool] = False
    takes_system: ClassVar[bool] = True
    takes_video: ClassVar[bool] = True
    takes_frames: ClassVar[bool] = False
    any_case: ClassVar[bool] = False
    instead_of_video: ClassVar[str] = ""
    what_changes: ClassVar[str] = ""

    question: str | None = option(None, "What is asked of captions. Otherwise they do not fit.")
    escape_tags: bool = option(
        False, "Write <image> and the like within texts as '< image>'. Otherwise such samples do not fit."
    )
    names: str = option(
        "original", "Of media: original, as the annotations have them, or key, as the shards do."
    )
    link: str | None = option(
        None,
        "A folder in which media lie under these names: those with the same bytes are linked, not copied.",
    )
    root: str | None = option(None, "Absolute path at which the trainer will see the folder, if not --out.")

    @abstractmethod
    def row(self, conversation: Conversation, paths: Sequence[str], laid: Laid) -> dict[str, Json]:
        """Write a conversation down.

        Args:
            conversation: One that fits.
            paths: In the folder of media, one for each of its media, in the order in which they are read.
            laid: The folder; its files are not yet known.
        """

    @abstractmethod
    def registration(self, laid: Laid) -> Mapping[str, str]:
        """Texts by which the trainer finds the files of rows, by their names in the folder."""

    @abstractmethod
    def start(self, laid: Laid) -> str:
        """The command that starts training on the folder; ``$MODEL`` stands for what the user has to know."""

    def check(self, conversation: Conversation) -> None:
        """See whether the trainer reads a conversation as it is meant.

        Raises:
            Unfit: It does not.
        """

    def changing(self) -> AbstractContextManager[Callable[[Conversation], Conversation]]:
        """Say what is done to each conversation that fits, for the time of an export: nothing.

        What it makes another of is counted as changed by :attr:`what_changes`. It may raise :class:`Unfit`.
        """
        return nullcontext(lambda conversation: conversation)

    def folders(self, dataset: FinishedShards) -> tuple[str, str]:
        """Say where files of rows and media go, in the folder."""
        return "", _MEDIA

    def file_name(self, dataset: FinishedShards, kinds: Sequence[Kind]) -> str:
        """Name of the file of rows with these kinds of media, with a ``*`` for the number of the shard, if at all."""
        ending = "json" if self.array else "jsonl"
        if not self.by_kinds:
            return f"train.{ending}"
        return f"{'-'.join(_PLURAL[kind] for kind in kinds) or 'text'}.{ending}"

    def open_rows(self, path: Path, kinds: Sequence[Kind]) -> RowFile:
        """Begin a file of rows."""
        return JsonRows(path.open("wb"), array=path.suffix == ".json")

    def media_paths(
        self, conversation: Conversation, shard: int, folder: MediaFolder, done: Exported
    ) -> list[str]:
        """Write the media of a conversation; returns their paths in the folder of media."""
        before = folder.apart
        paths = [folder.put(conversation.key, shard, medium) for medium in conversation.media]
        if folder.apart > before:
            done.changed["with media named apart from others of the same name upstream"] += 1
        return paths

    def export(self, dataset: FinishedShards, out: Place) -> Iterator[Exported]:
        """Write all of a dataset; a killed export is gone on with, with ``leave_out`` too where it was without.

        Raises:
            UsageError: A sample does not fit, or something else lies there.
        """
        options = {key: value for key, value in asdict(self).items() if key != "leave_out"}
        of = {**made_of(self, dataset, _REVISION, options), "root": self._root(out)}
        if (account := found_whole(out, of)) is not None:
            if account["left_out"] and not self.leave_out:
                raise UsageError(f"{out} lacks samples that do not fit: it was made with --leave-out.")
            yield account_back(account)
            return
        with whole_folder(out, of) as made:
            work = made.folder
            done = Exported(form="conversations", reader=self.trainer)
            rows, media = self.folders(dataset)
            laid = Laid(name=registered(dataset.name), root=self._root(out), media=media, files=())
            (work / rows).mkdir(parents=True, exist_ok=True)
            files = _Files(self, dataset, work, rows)
            link = None if self.link is None else Path(self.link)
            folder = MediaFolder(work / media, work / _INCOMING, self.names, link, work / PUT_MARKS / media)
            made.put(media)  # a kill may have left a folder of frames half there
            with files.opened, self.changing() as change:
                for number, shard in enumerate(dataset.shards):
                    self._add_shard(dataset, (number, shard), laid, (files, folder, change), done)
                    made.put("" if files.are_closed else media)
                    yield done
                if not self.by_kinds and not files.written:
                    files.begin(())
            laid = Laid(name=laid.name, root=laid.root, media=media, files=files.written)
            self._finish(work, laid, dataset, done)
            made.account.update(account_of(done))
        yield done

    def _root(self, out: Place) -> str:
        if self.root is None and isinstance(out, Store):
            raise UsageError(
                f"{self.trainer} reads a folder. Say where a copy of {out} will lie for it: --root /data/NAME"
            )
        if self.root is None:
            return called(out)
        if not self.root.startswith("/"):
            raise UsageError(f"--root {self.root!r}: expected an absolute path")
        return self.root.rstrip("/")

    def _add_shard(
        self,
        dataset: FinishedShards,
        numbered: tuple[int, ShardInfo],
        laid: Laid,
        into: tuple[_Files, MediaFolder, Callable[[Conversation], Conversation]],
        done: Exported,
    ) -> None:
        number, shard = numbered
        files, folder, change = into
        marks = re.compile("|".join(map(re.escape, MARKS)), re.IGNORECASE if self.any_case else 0)
        for sample in shard_samples(dataset.folder, shard, large_bytes=LARGE_BYTES):
            try:
                conversation = conversation_of(sample, question=self.question)
                self._check_kinds(conversation)
                self.check(conversation)
                cleaned = without_marks(conversation, marks, escape=self.escape_tags)
                shown = change(cleaned)
            except Unfit as err:
                if not self.leave_out:
                    raise UsageError(
                        f"{dataset.folder}/{shard.path}: {err}. Leave such samples out, counted, with --leave-out."
                    ) from err
                done.reasons[err.kind] += 1
                done.left_out += 1
                continue
            if cleaned is not conversation:
                done.changed["with a tag within a text escaped"] += 1
            if shown is not cleaned:
                done.changed[self.what_changes] += 1
            paths = self.media_paths(shown, number, folder, done)
            files.add(shown, self.row(shown, paths, laid))
            done.samples += 1
        done.shards += 1
        files.end_shard()

    def _check_kinds(self, conversation: Conversation) -> None:
        if conversation.has_system and not self.takes_system:
            raise Unfit(
                "system_turn",
                f"sample {conversation.key} begins with a system's turn, and {self.trainer} has none",
            )
        if not self.takes_video and conversation.of_kind("video"):
            raise Unfit(
                "video",
                f"sample {conversation.key} has a video, and {self.trainer} reads none{self.instead_of_video}",
            )
        if not self.takes_frames and conversation.of_kind("frames"):
            raise Unfit(
                "frames",
                f"sample {conversation.key} has a video that is stored as pictures of its frames, and "
                f"{self.trainer} cannot be told so",
            )

    def _finish(self, work: Path, laid: Laid, dataset: FinishedShards, done: Exported) -> None:
        """Write what lies beside rows and media."""
        for name, text in self.registration(laid).items():
            (work / name).write_text(text, encoding="utf-8")
        done.start = self.start(laid)
        (work / "README.md").write_text(self._readme(laid, dataset, done), encoding="utf-8")

    def _readme(self, laid: Laid, dataset: FinishedShards, done: Exported) -> str:
        """What the folder is, and how training on it starts; its head names the files to ``datasets``."""
        lines = []
        if self.by_kinds and laid.files:
            lines += ["---", "configs:"]
            lines += [f"- config_name: {file.title}\n  data_files: {file.name!r}" for file in laid.files]
            lines += ["---\n"]
        lines += [f"# {dataset.name}\n", f"{done.samples:,} conversations for {self.trainer}.\n"]
        lines += [f"- `{file.name}`: {file.rows:,} rows" for file in laid.files]
        if done.left_out:
            lines.append(f"- left out, because they do not fit: {done.left_out:,}")
            lines += [f"  - `{reason}`: {count:,}" for reason, count in sorted(done.reasons.items())]
        lines += [f"- {clause}: {count:,}" for clause, count in sorted(done.changed.items())]
        return "\n".join([*lines, "\nStart training:\n", f"```sh\n{done.start}\n```\n"])


class _Files:
    """Files of rows, begun when the first row for them comes."""

    def __init__(self, dialect: Dialect, dataset: FinishedShards, work: Path, folder: str) -> None:
        self.opened = ExitStack()
        self._dialect, self._dataset, self._work, self._folder = dialect, dataset, work, folder
        self._written: dict[str, RowsWritten] = {}
        self._rows: dict[str, RowFile] = {}
        self._held: dict[str, SpooledTemporaryFile[bytes]] = {}
        self._shard = 0

    def add(self, conversation: Conversation, row: dict[str, Json]) -> None:
        """Append a row to the file of its kinds of media."""
        kinds = tuple(kind for kind in _KINDS if conversation.of_kind(kind))
        name = self.begin(kinds)
        held = self._held.get(name)
        if held and not kinds:
            held.write(orjson.dumps(row) + b"\n")
        else:
            self._rows[name].add(row)
            self._release(name)
        written = self._written[name]
        written.rows += 1
        written.kinds = tuple(kind for kind in _KINDS if kind in (*written.kinds, *kinds))
        written.elsewhere += not conversation.media_in_front

    def begin(self, kinds: Sequence[Kind]) -> str:
        """Begin the file for these kinds of media, unless it is begun; returns its name."""
        name = self._dialect.file_name(self._dataset, kinds)
        if name not in self._rows:
            path = self._work / self._folder / name.replace("*", f"{self._shard:05d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows[name] = rows = self._dialect.open_rows(path, kinds)
            self.opened.callback(rows.close)
            if not self._dialect.by_kinds:
                self._held[name] = SpooledTemporaryFile(max_size=_HELD_BYTES, dir=str(path.parent))  # noqa: SIM115
                self.opened.callback(self._release, name)
            place = f"{self._folder}/{name}" if self._folder else name
            self._written.setdefault(name, RowsWritten(name=place, kinds=tuple(kinds)))
        return name

    def _release(self, name: str) -> None:
        """Append the rows without media that waited for one with a medium, in their order."""
        if held := self._held.pop(name, None):
            with held:
                held.seek(0)
                for line in held:
                    self._rows[name].add(orjson.loads(line))

    def end_shard(self) -> None:
        """Close the files that are of one shard."""
        self._shard += 1
        if any("*" in name for name in self._rows):
            self.opened.close()
            self._rows = {}

    @property
    def are_closed(self) -> bool:
        """None is being written."""
        return not self._rows

    @property
    def written(self) -> list[RowsWritten]:
        """All of them, those with media first."""
        return sorted(self._written.values(), key=lambda one: (not one.kinds, one.name))


def registered(name: str) -> str:
    """A dataset's name as every trainer's registry takes it: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "dataset"


def command(*words: object) -> str:
    """A command over several lines, an option each; ``$MODEL`` and the like stay for the shell."""
    text = [word if (word := str(w)).startswith("$") else shlex.quote(word) for w in words]
    out = text[0]
    for word in text[1:]:
        out += f" \\\n  {word}" if word.startswith("--") else f" {word}"
    return out
