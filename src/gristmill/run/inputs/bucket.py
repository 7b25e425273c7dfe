"""Sources that lie in an object store, as ``--source KEY=s3://...`` names them: which files there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gristmill.ledger.run_config import InputFile
from gristmill.ledger.words import count_text
from gristmill.run.inputs.local_media import expected, holds_loose, media_among
from gristmill.run.inputs.named_files import check_variant, chosen_of, with_note
from gristmill.run.inputs.numbering import arranged
from gristmill.spec.errors import SourceError, UsageError
from gristmill.spec.recipe import Source
from gristmill.spec.task import digest_of
from gristmill.storage.bucket import StoredInput, fetch_all, stored_files
from gristmill.storage.files import sync_folder
from gristmill.storage.store import Store

__all__ = ["as_stored", "fetch_loose", "is_loose", "stored_here"]

_OF_ALL = "all-"
"""Before the digest of all that lies below a prefix."""


def stored_here(
    source: Source, place: str, near: Store, *, beside: bool = False
) -> tuple[str, list[InputFile]]:
    """Find a source's files in an object store, in their order; say also where, as :class:`StoredInput` does.

    Args:
        source: What is looked for.
        place: Address of an object or a prefix.
        near: The dataset's store.
        beside: It is the place of another source, which this one may lie beside.

    Raises:
        UsageError: Nothing of the source is there.
        MachineError: The store refuses.
    """
    if place.count("://") > 1:  # it was given several times
        raise UsageError(
            f"--source {source.key}: of an object store one address is taken: a prefix below which all files lie."
        )
    listed = stored_files(place, near)
    one = not listed[0].home.endswith("/")
    if one and beside:
        listed = [file for file in stored_files(f"{place.rpartition('/')[0]}/", near) if "/" not in file.name]
    home = listed[0].home
    names = [file.name for file in listed]
    chosen, passed = names, list[str]()
    if source.role == "media":
        if not one and holds_loose(source, names):
            return home, [_loose(source, listed)]
        if not (chosen := names if one else media_among(source, names)):
            raise UsageError(
                f"{place} holds nothing of {source.title or source.key} that is known by its name: "
                f"{count_text(len(names), 'object')}, such as {names[0]}. Expected: {expected(source)}. Name "
                f"the right place with --source {source.key}=ADDRESS."
            )
    elif one and not beside:
        check_variant(source, home)
    else:
        folder = home.rstrip("/").rpartition("/")[2]
        chosen, passed = chosen_of(source, names, place, folder, named=beside and one)
    known = set(chosen)
    files = [
        InputFile(source=source.key, name=file.name, size_bytes=file.size_bytes, digest=file.digest)
        for file in listed
        if file.name in known
    ]
    return home, files if source.role == "media" else arranged(source, with_note(source, files, passed))


def _loose(source: Source, listed: Sequence[StoredInput]) -> InputFile:
    """All that lies below a prefix as one folder."""
    folder = listed[0].home.rstrip("/").rpartition("/")[2]
    return InputFile(
        source=source.key,
        name=folder,
        size_bytes=sum(file.size_bytes for file in listed),
        digest=_digest_of_all(listed),
    )


def _digest_of_all(listed: Sequence[StoredInput]) -> str:
    return f"{_OF_ALL}{digest_of([one.digest for one in listed])}"


def is_loose(file: InputFile) -> bool:
    """Say whether an input is all that lies below a prefix."""
    return file.digest.startswith(_OF_ALL)


def fetch_loose(file: InputFile, home: str, folder: Path, near: Store, tell: Callable[[int], None]) -> None:
    """Fetch a folder of :func:`stored_here` to its name below one; it appears when all of it is there.

    Raises:
        SourceError: Other objects lie there by now.
        MachineError: The store refuses.
        OSError: Disk full and the like.
    """
    listed = stored_files(home, near)
    if _digest_of_all(listed) != file.digest:
        raise SourceError(
            f"{home} holds other objects than those that were found there. Put back what was there, or name a copy "
            f"with --source {file.source}=ADDRESS"
        )
    coming = folder / ".coming"
    fetch_all(listed, coming, near, tell)
    coming.replace(folder / file.name)
    sync_folder(folder)


def as_stored(file: InputFile, home: str) -> StoredInput:
    """Say of an input which object it is."""
    return StoredInput(home=home, name=file.name, size_bytes=file.size_bytes, digest=file.digest)
