"""Sources that lie in an object store, as ``--source KEY=s3://...`` names them: which files there are."""

from __future__ import annotations

from gristmill.ledger.run_config import InputFile
from gristmill.ledger.words import count_text
from gristmill.run.inputs.local_media import expected, media_among
from gristmill.run.inputs.named_files import check_variant, chosen_of, with_note
from gristmill.run.inputs.numbering import arranged
from gristmill.spec.errors import UsageError
from gristmill.spec.recipe import Source
from gristmill.storage.bucket import StoredInput, stored_files
from gristmill.storage.store import Store

__all__ = ["as_stored", "stored_here"]


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


def as_stored(file: InputFile, home: str) -> StoredInput:
    """Say of an input which object it is."""
    return StoredInput(home=home, name=file.name, size_bytes=file.size_bytes, digest=file.digest)
