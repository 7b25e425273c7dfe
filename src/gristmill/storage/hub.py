"""The Hugging Face hub, through its own client: listings with checksums, downloads that resume.

The client takes ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HOME`` from the environment; the endpoint is read at each
call, so that a mirror can be named for one run.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gristmill.spec.errors import AccessError, SourceError
from gristmill.storage.files import sha256_file

__all__ = [
    "HUB_URL",
    "MODELS",
    "HubFile",
    "commit_of",
    "download",
    "hub_page",
    "hub_repo",
    "hub_url",
    "list_files",
    "read_range",
]

HUB_URL = "hf://"
"""What addresses of repositories begin with, as the hub's own file system has them."""

MODELS = "models/"
"""The name of a repository of models begins with it here."""

_DATASETS = "datasets/"

_SHA256_DIGITS, _GIT_DIGITS = 64, 40
_CHUNK_BYTES = 1 << 20
_LISTING_S = 900.0
_MOST_PAGES = 10_000
_MOST_SAID_BYTES = 64 << 20
"""Of one answer about files; a page of the longest listing has about a megabyte."""
_SLOWEST_BYTES_S = 20_000
_LEAST_S = 120.0
_TRIES = 4
_WAIT_S = 1.0
"""Longer by that before each further try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file of a repository.

    Attributes:
        digest: SHA-256 of the content where the hub states it (large files), else the git blob id.
    """

    name: str
    size_bytes: int
    digest: str


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _typed(repo: str) -> tuple[str, str]:
    """The hub's word for the kind of a repository, and its name there: ``models/OWNER/NAME`` is one of models."""
    if repo.startswith(MODELS):
        return "model", repo.removeprefix(MODELS)
    return "dataset", repo


def hub_url(repo: str) -> str:
    """The address of a repository as a person types it: ``hf://datasets/OWNER/NAME``, of models ``hf://OWNER/NAME``."""
    kind, name = _typed(repo)
    return f"{HUB_URL}{_DATASETS if kind == 'dataset' else ''}{name}"


def hub_repo(url: str) -> str | None:
    """The repository of such an address; None if it is none."""
    place = url.removeprefix(HUB_URL)
    if place == url or place.removeprefix(_DATASETS).count("/") != 1:
        return None
    return place.removeprefix(_DATASETS) if place.startswith(_DATASETS) else MODELS + place


def hub_page(repo: str, endpoint: str = "https://huggingface.co") -> str:
    """The address of a repository's page."""
    kind, name = _typed(repo)
    return f"{endpoint}/{_DATASETS if kind == 'dataset' else ''}{name}"


def _page(repo: str) -> str:
    return hub_page(repo, _endpoint() or "https://huggingface.co")


@contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """Turn the client's errors into sentences with the next thing to do."""
    from huggingface_hub import errors

    _quieten()
    _watch_answers()
    page = _page(repo)
    try:
        yield
    except errors.GatedRepoError as err:
        raise AccessError(
            f"{repo} asks you to accept its terms. Open {page}, accept them, then set HF_TOKEN to a token of "
            "that account (or run `hf auth login`) and give the same command again."
        ) from err
    except errors.RevisionNotFoundError as err:
        raise SourceError(
            f"{repo} has no revision {revision}: it is mistyped, or upstream rewrote its history. Look at "
            f"{page}/commits/main, or give a copy of your own with --source KEY=FOLDER."
        ) from err
    except errors.LocalEntryNotFoundError as err:  # also an EntryNotFoundError, though nobody answered
        raise _unreachable(repo, err) from err
    except errors.EntryNotFoundError as err:
        raise SourceError(
            f"{repo}@{revision} lacks a file that it listed ({err}). See {page}/tree/{revision}."
        ) from err
    except errors.RepositoryNotFoundError as err:
        raise AccessError(
            f"{repo} was not found on the hub: it was removed, or it is private and no token was given. Set "
            "HF_TOKEN, or give a copy of your own with --source KEY=FOLDER."
        ) from err
    except errors.HfHubHTTPError as err:
        if err.response is not None and err.response.status_code == HTTPStatus.UNAUTHORIZED:
            raise AccessError(
                f"the hub does not accept the token that it was given for {repo}. Set HF_TOKEN to a valid one (or "
                "run `hf auth login`), or unset it: most datasets need none."
            ) from err
        said = str(err).strip().partition("\n")[0]
        raise SourceError(f"the hub refused {repo}: {said}. Give the same command again later.") from err
    except errors.HFValidationError as err:
        raise SourceError(f"{repo} is no name of a repository: {err}") from err
    except _SHAPES as err:
        raise SourceError(
            f"what answers at {_endpoint() or 'https://huggingface.co'} is not the hub ({type(err).__name__} on what "
            f"it says of {repo}). Is it a login page, or a proxy? Look at it with a browser, or set HF_ENDPOINT, and "
            "give the same command again."
        ) from err
    except (OSError, errors.OfflineModeIsEnabled) as err:
        if isinstance(err, OSError) and err.errno is not None:
            raise
        raise _unreachable(repo, err) from err
    except Exception as err:  # all but transport errors are raised on; these share no base class
        # The client's HTTP library has changed between its releases.
        if type(err).__module__.split(".")[0] not in {"httpx", "httpx2", "httpcore", "requests", "urllib3"}:
            raise
        raise _unreachable(repo, err) from err


_SHAPES = (ValueError, LookupError, TypeError, AttributeError)
"""Exceptions that the client raises where an answer is no JSON, or is not the hub's."""


class _Bounds(threading.local):
    """What this thread's answers may cost: those of a listing together, a file's by their rate."""

    deadline: float | None = None
    pages: set[str] | None = None


_BOUNDS = _Bounds()


@contextmanager
def _listing() -> Iterator[None]:
    """Bound what is asked of the hub within the block, which is about files and not for them."""
    _BOUNDS.deadline, _BOUNDS.pages = time.monotonic() + _LISTING_S, set()
    try:
        yield
    finally:
        _BOUNDS.deadline = _BOUNDS.pages = None


def _watch_answers() -> None:
    """Have the client's HTTP library show us each answer before its body is read."""
    from huggingface_hub import get_session

    hooks = get_session().event_hooks
    if _bound not in hooks["response"]:
        get_session().event_hooks = {**hooks, "response": [*hooks["response"], _bound]}


def _bound(response: Any) -> None:
    """Look at an answer before its body is read, and at the body while it comes.

    Raises:
        SourceError: A page for the second time, or too many.
    """
    pages, stream, began = _BOUNDS.pages, response.stream, time.monotonic()
    deadline = _BOUNDS.deadline
    if pages is not None and response.is_success:
        if (page := f"{response.request.method} {response.request.url}") in pages:
            raise SourceError(f"the hub's listing leads back to {response.request.url}: it has no end.")
        pages.add(page)
        if len(pages) > _MOST_PAGES:
            raise SourceError(f"the hub's listing has more than {_MOST_PAGES:,} pages: it is not read on.")
    kind = next(base for base in type(stream).__mro__ if base.__name__ == "SyncByteStream")

    def pieces(self: object) -> Iterator[bytes]:
        size = 0
        for piece in stream:
            size, now = size + len(piece), time.monotonic()
            if pages is not None and size > _MOST_SAID_BYTES:
                raise SourceError(
                    f"the hub says more than {_MOST_SAID_BYTES:,} bytes in one answer: it is not read."
                )
            if now > (deadline or now) or now - began > _LEAST_S + size / _SLOWEST_BYTES_S:
                raise SourceError("the hub's answer comes too slowly. Give the same command again later.")
            yield piece

    response.stream = type("Bounded", (kind,), {"__iter__": pieces, "close": lambda self: stream.close()})()


def _quieten() -> None:
    """Keep the client's warnings, that it tries something again, from running across the bars of a run.

    What it gives up is an error here. A verbosity that the user asked the client for (``HF_HUB_VERBOSITY``,
    ``HF_DEBUG``) stays.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.logging import set_verbosity

    if not (os.environ.get("HF_HUB_VERBOSITY") or constants.HF_DEBUG):
        set_verbosity(logging.ERROR)


def _unreachable(repo: str, err: Exception) -> SourceError:
    said = str(err).rstrip(".")
    return SourceError(
        f"the hub could not be reached for {repo}: {said}. Check the network (or HF_ENDPOINT), then give the "
        "same command again: what is fetched is kept."
    )


def commit_of(repo: str, revision: str) -> str:
    """The commit that a branch or tag of a repository stands for.

    Raises:
        AccessError, SourceError: As for :func:`list_files`.
    """
    from huggingface_hub import HfApi

    with _explained(repo, revision), _listing():
        kind, own = _typed(repo)
        found = HfApi(endpoint=_endpoint()).repo_info(own, revision=revision, repo_type=kind).sha
    if not found:
        raise SourceError(
            f"the hub names no commit for {repo}@{revision}. Name one with --source KEY=hf://...@COMMIT."
        )
    return found


def list_files(repo: str, revision: str, patterns: Sequence[str], *, needed: bool = True) -> list[HubFile]:
    """Files of a repository at a revision that match any of the patterns, sorted by name.

    Args:
        repo: ``OWNER/NAME`` of datasets, ``models/OWNER/NAME`` of models.
        revision: Commit, or a branch.
        patterns: As of ``fnmatch``.
        needed: That there are none is an error.

    Raises:
        AccessError: Gated, private or gone.
        SourceError: Any other refusal; no network.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with _explained(repo, revision), _listing():
        api = HfApi(endpoint=_endpoint())
        kind, own = _typed(repo)
        tree = list(api.list_repo_tree(own, recursive=True, revision=revision, repo_type=kind))
    found = [
        HubFile(
            name=entry.path,
            size_bytes=entry.size,
            digest=entry.lfs.sha256 if entry.lfs else entry.blob_id,
        )
        for entry in tree
        if isinstance(entry, RepoFile) and any(fnmatch.fnmatch(entry.path, p) for p in patterns)
    ]
    if not found and needed:
        raise SourceError(
            f"{repo}@{revision} holds no file like {', '.join(patterns)}. See {_page(repo)}/tree/{revision}, or "
            "give a copy of your own with --source KEY=FOLDER."
        )
    for file in found:
        _check_name(repo, file.name)
    return sorted(found, key=lambda file: file.name)


def _check_name(repo: str, name: str) -> None:
    """See that a file of this name lies below the folder that it is fetched into, and can be printed.

    Raises:
        SourceError: It would not, or cannot.
    """
    steps = name.replace("\\", "/").split("/")
    if not name.isprintable() or {"", ".", ".."} & set(steps):
        raise SourceError(
            f"{repo} lists a file called {name!r:.200}, which is no proper name for one: nothing is fetched from it. "
            "Give a copy of your own with --source KEY=FOLDER."
        )


def download(
    repo: str, revision: str, file: HubFile, folder: Path, tell: Callable[[int], None] = lambda have: None
) -> Path:
    """Fetch one file below ``folder``, resuming what an interrupted call left, and check its digest.

    A hub that is busy or fails (429, 5xx) is asked again a few times.

    A file that was fetched before and is no longer what the hub says is fetched anew.

    Args:
        tell: Told how many bytes of it there are, now and then.

    Raises:
        AccessError, SourceError: As for :func:`list_files`; also for a checksum that differs.
        OSError: Disk full and the like.
    """
    tries = 2 if (folder / file.name).exists() else 1  # what lay there may have been cut or changed since
    for _ in range(tries):
        path = _fetched(repo, revision, file.name, folder, tell)
        if path.stat().st_size == file.size_bytes and _digest_like(file.digest, path) == file.digest:
            break
        path.unlink()
    else:
        raise SourceError(
            f"{repo}@{revision}: {file.name} arrived damaged (its checksum differs from the hub's). It was "
            "removed; give the same command again to fetch it anew."
        )
    return path


def _fetched(repo: str, revision: str, name: str, folder: Path, tell: Callable[[int], None]) -> Path:
    from huggingface_hub import hf_hub_download

    kind, own = _typed(repo)
    bar = _teller(tell)
    for attempt in range(_TRIES):
        time.sleep(_WAIT_S * attempt)
        try:
            with _explained(repo, revision):
                return Path(
                    hf_hub_download(
                        own,
                        name,
                        revision=revision,
                        repo_type=kind,
                        local_dir=folder,
                        endpoint=_endpoint(),
                        tqdm_class=bar,
                    )
                )
        except SourceError as err:
            if isinstance(err, AccessError):  # about the repository, and the same for each of its files
                raise
            if attempt == _TRIES - 1 or not _may_pass(err):
                raise SourceError(f"{name}: {err}") from err
    raise AssertionError("the last try returns or raises")


def _teller(tell: Callable[[int], None]) -> type[Any]:
    """A progress bar for the client that draws nothing and tells how far it is.

    Workers share a terminal, on which the client's own bars would run across those of the run. It may have two bars
    for one file, of what came over the network and of what is unpacked from that: the further one is told.
    """
    from huggingface_hub.utils.tqdm import tqdm

    most = 0

    class Teller(tqdm):
        def __init__(self, *args: Any, **given: Any) -> None:
            super().__init__(*args, **{**given, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            nonlocal most
            self.n += n or 0
            most = max(most, int(self.n))
            tell(most)

    return Teller


def _may_pass(err: SourceError) -> bool:
    """Whether the hub was busy, or failed this once."""
    status = getattr(getattr(err.__cause__, "response", None), "status_code", 0)
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _digest_like(digest: str, path: Path) -> str:
    """The digest of a file in the manner of another: SHA-256, or git's id of an object that holds it.

    The id is the SHA-1 of ``blob``, a blank, the size, a zero byte, and the content (git-hash-object(1)).
    """
    if len(digest) == _SHA256_DIGITS:
        return sha256_file(path)
    if len(digest) != _GIT_DIGITS:
        return digest  # a hub that states none of these: what came cannot be checked
    found = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def read_range(repo: str, revision: str, name: str, size_bytes: int, start: int, stop: int) -> bytes:
    """Some bytes of one file, by a range request; tried again a few times where the connection fails.

    Nothing can check them but their number: the hub states checksums of whole files only.

    Raises:
        AccessError, SourceError: As for :func:`list_files`; also where another number of bytes comes.
    """
    last: SourceError | None = None
    for attempt in range(_TRIES):
        time.sleep(_WAIT_S * attempt)
        try:
            return _range(repo, revision, name, size_bytes, start, stop)
        except AccessError as err:  # who is not let in is not let in a second later
            raise AccessError(f"{name}: {err}") from err
        except SourceError as err:
            last = err
    raise SourceError(f"{name}: {last}") from last


def _range(repo: str, revision: str, name: str, size_bytes: int, start: int, stop: int) -> bytes:
    from huggingface_hub import HfFileSystem

    with _explained(repo, revision):
        files = HfFileSystem(endpoint=_endpoint())
        place = f"{hub_url(repo).removeprefix(HUB_URL)}/{name}"
        with files.open(place, "rb", revision=revision, size=size_bytes, cache_type="none") as stream:
            stream.seek(start)
            body: bytes = stream.read(stop - start)
    if len(body) != stop - start:
        raise SourceError(
            f"{repo}@{revision}: {len(body)} bytes of {name} came where {stop - start} were asked for. The server, "
            "or one on the way, does not answer ranges: give a copy of your own with --source KEY=FOLDER."
        )
    return body
