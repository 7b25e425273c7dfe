"""Finds a list of URLs: on this machine, on the hub, at an address of the web, in an object store, or in a pipe."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

import click

from gristmill.cli.options import recipe_loader, typed_store_options
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.words import size_text
from gristmill.run.state import layout
from gristmill.spec.command import to_type
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.place import is_address, path_of
from gristmill.spec.recipe import Recipe
from gristmill.spec.task import digest_of
from gristmill.storage.bucket import fetch_stored, is_stored, stored_files
from gristmill.storage.files import check_name, check_regular, machine_error, scratch_folder, sha256_file
from gristmill.storage.store import Place, store_at
from gristmill.storage.url import fetch, is_url, name_of

__all__ = ["ListPlace", "found_list", "is_list", "list_recipe", "local_list"]

_PIPES = re.compile(r"-|/dev/stdin|/(?:dev|proc/self)/fd/\d+")
_HUB = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+?))?/*")
_COPY = {"r2": "rclone copyto"}
_MOST_BYTES = 64 << 30
_CHUNK_BYTES = 1 << 20
_ADDRESS = ".address"
"""A file beside the copy of a list: the SHA-256 of the address at which it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlace:
    """Says where a list was found.

    Attributes:
        path: A file or folder on this machine, ``hf://datasets/OWNER/NAME@REVISION``, or where in a store.
        patterns: Which files there, where that is not for the recipe to say.
        origin: What was named, where a copy of it lies at ``path``.
    """

    path: str
    patterns: tuple[str, ...] | None = None
    origin: str | None = None

    @property
    def arguments(self) -> dict[str, object]:
        """Say what the recipe is built from."""
        return {"path": self.path, **({"patterns": list(self.patterns)} if self.patterns else {})}


def local_list(urls: str) -> ListPlace | None:
    """A list on this machine or on the hub; None where a copy of it must be made first.

    Raises:
        UsageError: It cannot be read where it is, or is not there.
    """
    urls = path_of(urls)
    if found := _HUB.fullmatch(urls):
        repo, revision, within = found.groups()
        return ListPlace(path=f"hf://datasets/{repo}@{revision or 'main'}", patterns=_patterns(within))
    if is_url(urls) or _PIPES.fullmatch(urls) or is_stored(urls):
        return None
    if is_address(urls):
        name = urls.rstrip("/").rpartition("/")[2]
        copy = _COPY.get(urls.partition("://")[0], "")
        way = f"Copy it first: {copy} {urls} {name}" if copy else "Mount it, or copy it"
        raise UsageError(
            f"{urls} is a URL of a kind that is not read; a path, https://, hf://datasets/, s3://, gs:// and az:// "
            f"are. {way}"
        )
    path = Path(urls)
    if not path.exists():
        raise UsageError(f"{urls}: there is no such file or folder.")
    check_name(path.resolve())
    if not path.is_dir():
        check_regular(path)
    return ListPlace(path=str(path.resolve()))


def is_list(name: str) -> bool:
    """Say whether a name stands for a list, and not for a recipe."""
    from gristmill import recipes

    if name.endswith(".py") or name in {*recipes.names(), *recipes.groups()}:
        return False
    name = path_of(name)
    return is_address(name) or name == "-" or Path(name).exists()


def list_recipe(name: str, url_column: str, settings: Mapping[str, str]) -> Recipe:
    """The recipe of a list that can be looked at where it is.

    Raises:
        UsageError: A copy of it must be made first.
    """
    if (place := ListPlace(path=name) if is_stored(name) else local_list(name)) is None:
        raise UsageError(f"{name}: what it holds is known once it is here. Fetch it, then plan the file.")
    recipe: Recipe = recipe_loader("crawl", {**place.arguments, "url_column": url_column}, dict(settings))()
    return recipe


def _patterns(within: str | None) -> tuple[str, ...] | None:
    from gristmill.recipes._command_crawl import PATTERNS

    return None if within is None else (within, *(f"{within}/{pattern}" for pattern in PATTERNS))


@contextmanager
def found_list(urls: str, out: Place, file_format: str | None) -> Iterator[ListPlace]:
    """A list, wherever it is; of one at an address or in a pipe a copy on this machine, for the dataset at ``out``.

    The copy is made once, for as long as the folder is there; where nothing is begun within the block, it goes.

    Args:
        file_format: Of the list, where it is said: the name of a pipe tells none.

    Raises:
        UsageError: It cannot be read where it is, is not there, or is another than the folder was begun with.
        SourceError: It could not be fetched.
    """
    place = local_list(urls)
    if place is not None:
        yield place
        return
    folder = store_at(out).work(layout.LISTS)
    new = not folder.exists()
    try:
        if is_stored(urls):
            made = _from_store(urls, folder)
        else:
            made = _fetched(urls, folder) if is_url(urls) else _drained(urls, folder, file_format)
        yield ListPlace(path=str(made), origin=urls)
    except OSError as err:
        raise machine_error(err, folder) from err
    finally:
        if new and not RunConfig.lies_in(out):
            shutil.rmtree(folder, ignore_errors=True)
            for empty in (folder.parent, folder.parent.parent):
                with suppress(OSError):
                    empty.rmdir()


def _fetched(url: str, folder: Path) -> Path:
    """A copy of what is at an address; of another address than last time it must be the same list."""
    path, stored = folder / name_of(url), _stored(folder)
    if stored and _is_of(url, folder):
        return stored[0]
    with scratch_folder(path) as scratch:
        try:
            fetched = fetch(url, scratch / path.name, sha256=None)
        except SourceError as err:
            said = str(err).replace("--source KEY=FILE", "its path in the place of the address")
            raise type(err)(said) from err
        if stored and sha256_file(fetched) != sha256_file(stored[0]):
            raise _another(f"what is at {url}")
        path = stored[0] if stored else path
        _is_now_of(url, folder)
        os.replace(fetched, path)
    click.echo(f"{url}: {size_text(path.stat().st_size)} fetched", err=True)
    return path


def _from_store(address: str, folder: Path) -> Path:
    """A copy of an object, or of the lists below a prefix; what a kill left of it is gone on with."""
    from gristmill.recipes._command_crawl import PATTERNS

    path, stored = folder / address.rstrip("/").rpartition("/")[2], _stored(folder)
    if stored and not _is_of(address, folder):
        raise _another(address)
    if stored:
        return stored[0]
    near = store_at(address, typed_store_options())
    files = stored_files(address, near)
    one = not files[0].home.endswith("/")
    found = files if one else [file for file in files if any(fnmatch(file.name, kind) for kind in PATTERNS)]
    if not found:
        raise UsageError(f"{address}: no object below it is a list, by its name.")
    coming = folder / f".{digest_of([file.digest for file in found])[:16]}"
    for file in found:
        fetch_stored(file, coming, near)
    if not _stored(folder):  # else another command was first
        _is_now_of(address, folder)
        os.replace(coming / path.name if one else coming, path)
    shutil.rmtree(coming, ignore_errors=True)
    click.echo(f"{address}: fetched", err=True)
    return path


def _stored(folder: Path) -> list[Path]:
    """The list that the folder was begun with, if there is one."""
    return sorted(one for one in folder.iterdir() if one.name[0] != ".") if folder.is_dir() else []


def _is_of(address: str, folder: Path) -> bool:
    """Say whether the copy is known to be of this address, of which a digest is kept: it may hold a secret."""
    mark = folder / _ADDRESS
    return mark.is_file() and mark.read_text() == _digest(address)


def _is_now_of(address: str, folder: Path) -> None:
    (folder / _ADDRESS).write_text(_digest(address))


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()


def _another(what: str) -> UsageError:
    return UsageError(
        f"{what} is not the list that the folder was begun with. Choose another folder with --out."
    )


def _drained(urls: str, folder: Path, file_format: str | None) -> Path:
    """All that comes through a pipe, in a file."""
    stored = sorted(folder.glob("pipe.*")) if folder.is_dir() else []
    if urls == "-" and sys.stdin.isatty():
        if stored:
            return stored[0]
        raise UsageError(
            f"{urls}: a list is expected through a pipe, as in: grep jpg urls.txt | "
            f"{to_type('crawl', '-', '--out', 'DIR', '--set', 'rows.format=txt')}"
        )
    with scratch_folder(folder / "pipe") as scratch:
        copy = scratch / "pipe"
        with _opened(urls) as stream, copy.open("wb") as out:
            head = _copy(stream, out)
        name = f"pipe.{_format(head, file_format)}"
        if stored:
            if sha256_file(copy) != sha256_file(stored[0]):
                raise _another(f"{urls}: what comes through the pipe")
            return stored[0]
        os.replace(copy, folder / name)
    return folder / name


def _opened(urls: str) -> BinaryIO:
    if urls in {"-", "/dev/stdin"}:
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return open(urls, "rb")


def _copy(stream: BinaryIO, out: BinaryIO) -> bytes:
    """Copy all of a stream; its first bytes."""
    head, size = b"", 0
    while chunk := stream.read(_CHUNK_BYTES):
        head = head or chunk[:4]
        size += len(chunk)
        if size > _MOST_BYTES:
            raise UsageError(f"more than {_MOST_BYTES >> 30} GiB came through the pipe, and still no end.")
        out.write(chunk)
    return head


def _format(head: bytes, file_format: str | None) -> str:
    """The ending that a file of these first bytes has."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if file_format is None:
        raise UsageError(
            "a pipe has no name to tell the format of what comes through it: add --set rows.format=txt, or csv, tsv, "
            "json, jsonl."
        )
    return file_format + (".gz" if head.startswith(b"\x1f\x8b") else "")
