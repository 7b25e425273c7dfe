"""Brings what a command only looks at from an object store to this machine, for as long as that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from gristmill.cli.options import typed_store_options
from gristmill.ledger.words import size_text
from gristmill.spec.errors import GristmillError, UsageError
from gristmill.storage.bucket import fetch_all, stored_files
from gristmill.storage.copies import short_digest
from gristmill.storage.files import cache_folder, machine_error, scratch_folder
from gristmill.storage.store import store_at

__all__ = ["brought"]


@contextmanager
def brought(places: Sequence[Path | str]) -> Iterator[dict[Path, str]]:
    """Fetch objects, and all that lies below prefixes, each once; paths stay as they are. Removed at the end.

    Args:
        places: As :class:`gristmill.cli.options.InputPlace` gives them.

    Yields:
        For each place, in order, where on this machine it lies, to what a person calls it.

    Raises:
        UsageError: Nothing is there; or of the block, with addresses in the places of paths.
        SourceError: One has changed meanwhile; or of the block.
        MachineError: The store or the system refuses.
    """
    if all(isinstance(place, Path) for place in places):
        if typed_store_options():
            raise UsageError(f"{places[0]} is on this machine, and --store-option is for an object store.")
        yield {Path(place): str(place) for place in places}
        return
    near_by = cache_folder() / "stores" / "looked-at"
    try:
        with scratch_folder(near_by) as scratch:
            found = {
                (place if isinstance(place, Path) else _fetched(place, scratch)): str(place)
                for place in places
            }
            try:
                yield found
            except GristmillError as err:
                err.args = (_with_addresses(str(err), found), *err.args[1:])
                raise
    except OSError as err:
        raise machine_error(err, near_by) from err


def _with_addresses(text: str, found: Mapping[Path, str]) -> str:
    for path, place in found.items():
        text = text.replace(str(path), place)
    return text


def _fetched(address: str, scratch: Path) -> Path:
    """Fetch an object beside others of its prefix, or all below a prefix into a folder of its name."""
    near = store_at(address, typed_store_options())
    files = stored_files(address, near)
    home = files[0].home
    above, name = home.rstrip("/").rpartition("/")[::2]
    folder = scratch / short_digest(above)
    fetch_all(files, folder / name if home.endswith("/") else folder, near)
    click.echo(f"{address}: {size_text(sum(file.size_bytes for file in files))} fetched", err=True)
    return folder / name
