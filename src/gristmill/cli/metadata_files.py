"""The metadata files beside the shards, which are made anew wherever they are behind the records."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress

import click
import orjson

from gristmill.cli.named import loader_of
from gristmill.ledger.ledger import Ledger
from gristmill.ledger.manifest import MANIFEST, manifest_bytes, of_records
from gristmill.ledger.run_config import RunConfig
from gristmill.ledger.seal import broken, seal
from gristmill.run.inputs.mixture_parts import read_manifest
from gristmill.run.maintenance.reopen import Dataset
from gristmill.run.maintenance.task_media import TaskMedia
from gristmill.run.state import layout
from gristmill.run.state.layout import CARD, METADATA_FILES
from gristmill.spec.command import for_readers, printable
from gristmill.spec.errors import Busy, DamagedOutput, GristmillError
from gristmill.spec.recipe import Recipe
from gristmill.storage.store import Place, Store, store_at

__all__ = ["bring_up", "write_metadata_files"]

_WAIT_S = 60.0
_POLL_S = 0.05


def write_metadata_files(place: Place, recipe: Recipe) -> Ledger:
    """Write dataset.json, README.md, croissant.json and report.html, of what the records say at this moment.

    One process at a time does so, or the last to write might be the first to have read. What was written last is
    noted when all of it is there, see :func:`bring_up`.

    Returns:
        The records, as they are told of.

    Raises:
        Busy: Another process writes them and does not get done.
        OSError: As the system says.
    """
    from gristmill.ledger.card import card_bytes
    from gristmill.ledger.croissant import croissant_bytes
    from gristmill.run.begin import sweep
    from gristmill.viewer.report import report_bytes

    store = store_at(place)
    with store.leases(layout.LEASES) as leases, for_readers():
        deadline = time.monotonic() + _WAIT_S
        while not leases.take("metadata"):
            if time.monotonic() > deadline:
                raise Busy(
                    f"another command is writing {store}/{MANIFEST}; give the same command again later."
                )
            time.sleep(_POLL_S)
        sweep(store)
        config, ledger = RunConfig.read(store), Ledger(store)
        before = _bytes_of(store, MANIFEST)
        body = manifest_bytes(recipe, config, ledger, _libraries(store, config, ledger, before))
        journals = seal(ledger, {MANIFEST: [body, before]})
        media = TaskMedia(store, recipe, config).bodies
        making: dict[str, Callable[[], bytes]] = {
            MANIFEST: lambda: body,
            CARD: lambda: card_bytes(recipe, config, ledger),
            "croissant.json": lambda: croissant_bytes(recipe, config, ledger),
            "report.html": lambda: report_bytes(config, ledger, media),  # of what the manifest says, too
        }
        made = {}
        for name, make in making.items():
            made[name] = make()
            store.put(name, made[name])
        seal(ledger, {name: [made[name]] for name in METADATA_FILES}, journals)
        store.put(layout.DESCRIBED, _digest(body))
    return ledger


def bring_up(opened: Dataset, recipe: Recipe | None = None, *, anew: bool = False) -> None:
    """Make the metadata files anew, and say so, where a run that was killed at its end left them behind the records.

    Nothing is done while a run is under way, which writes them at its end, nor before a first one has come to its
    end. Where they cannot be written it is said that they are behind.

    Args:
        opened: The dataset.
        recipe: Its recipe; None to find it by its name. A file that the folder names is not run for that.
        anew: Whatever they say: they are not what was written.

    Raises:
        DamagedOutput: The records are not what was written, and so not what the metadata files should follow.
    """
    store = opened.ledger.store
    if recipe is None:
        with suppress(GristmillError):  # one that this version has no more, or somebody's own
            recipe = loader_of(opened, dict(opened.config.settings))()
    if not (anew or _behind(opened, recipe)) or _under_way(store):
        return
    for place, problem in broken(store, ()):
        raise DamagedOutput(
            f"{opened.folder}/{place} {problem}; or give the command that made the dataset again: what no record "
            f"tells of is made anew. {MANIFEST} and the files beside it stay as they are until then."
        )
    behind = "not what was written" if anew else "behind the records"
    told = f"{opened.folder}: {MANIFEST} and the files beside it are {behind}"
    if recipe is None:
        told += ": the command that made the dataset writes them anew."
    else:
        try:
            write_metadata_files(store, recipe)
        except (OSError, Busy) as err:
            told += f", and cannot be written here ({err})."
        else:
            told += f"{'' if anew else ', as after a run that was killed at its end'}: they are made anew."
    click.echo(f"gristmill: {printable(told)}", err=True)


def _behind(opened: Dataset, recipe: Recipe | None) -> bool:
    """True if the metadata files say something else than the records, or not all of them were written."""
    store, known = opened.ledger.store, of_records(opened.config, opened.ledger)
    if store.size(MANIFEST) is None:
        return bool(known["complete"])
    if recipe is not None:
        libraries = _libraries(store, opened.config, opened.ledger, _bytes_of(store, MANIFEST))
        body = manifest_bytes(recipe, opened.config, opened.ledger, libraries)
        return not (
            _bytes_of(store, MANIFEST) == body and _bytes_of(store, layout.DESCRIBED) == _digest(body)
        )
    try:
        said = read_manifest(store) or {}
    except DamagedOutput:
        return True
    same = all(said.get(key) == known[key] for key in ("complete", "shards"))
    return not (same and _bytes_of(store, layout.DESCRIBED) == _digest(store.read(MANIFEST)))


def _libraries(store: Store, config: RunConfig, ledger: Ledger, body: bytes | None) -> dict[str, str] | None:
    """What wrote the clips, by the manifest that was written last of the same shards; None where it says nothing.

    Whoever only looks at the folder later, on another machine, has other versions, or none.
    """
    if body is None or _bytes_of(store, layout.DESCRIBED) != _digest(body):
        return None
    said = orjson.loads(body)
    same = said["checksum"] == of_records(config, ledger)["checksum"]
    return (said.get("libraries") or None) if same else None


def _bytes_of(store: Store, name: str) -> bytes | None:
    """Read a file that may be altered; None of one that is not there, or is no file."""
    with suppress(OSError, DamagedOutput):
        return store.read(name)
    return None


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _under_way(store: Store) -> bool:
    """True if a run works on the folder; also where that cannot be known."""
    try:
        with store.leases(layout.LEASES) as leases:
            return not leases.take("run")
    except OSError:
        return False  # nobody can write here
