"""An object store as the place of a dataset: S3 and what speaks its protocol, Google Cloud Storage, Azure.

Through obstore, of the extra ``cloud``. Whole objects are put, large ones in parts; a condition (the header
``If-None-Match``) puts only if absent; ranges are read. What a run needs beyond that lies in a folder of this
machine: in ``GRISTMILL_CACHE``, else ``XDG_CACHE_HOME``/gristmill, else ``~/.cache/gristmill``.

Credentials, endpoint and region come from the environment by the store's own conventions (``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL``, ``GOOGLE_SERVICE_ACCOUNT``, ``AZURE_STORAGE_ACCOUNT_NAME``, ...), or from options, whose keys
are those of obstore. No option is ever stored.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from gristmill.spec.errors import DamagedOutput, MachineError, UsageError
from gristmill.spec.extras import install
from gristmill.storage.copies import Copies, short_digest
from gristmill.storage.files import cache_folder, naming, whole_file, write_whole
from gristmill.storage.inside import STATE_BYTES
from gristmill.storage.leases import Leases
from gristmill.storage.refusals import (
    CREDENTIALS,
    MAY_PASS,
    NO_BUCKET,
    first_line,
    has_reason,
    is_gone,
    is_silent,
    refusal,
)
from gristmill.storage.silence import told_if_silent
from gristmill.storage.store import Store, Stored, store_at

__all__ = ["SCHEMES", "ObjectStore"]

SCHEMES = ("s3", "gs", "az", "memory")
"""Of addresses that are object stores; ``memory`` lasts as long as the process, for trials."""

_PART_BYTES = 32 << 20
"""Larger objects are put in parts of that: each part is a request, and so are the begin and the end."""
_MOST_PARTS = 9_000
"""Of 10,000 that S3 takes."""
_PARTS_AT_ONCE = 1
"""So much is in memory, and under way within the client's 30 seconds for a request. Other tasks put theirs beside."""
_LISTED_AT_ONCE = 1000
_SMALL_BYTES = 1 << 20
"""So much takes no time to be put, as far as it is said what is waited for."""
_NEAR_BYTES = 16 << 10
"""Ranges of one file with less than that between them are one request."""
_READ_SOON = (".gristmill/", "fates/")
"""Folders of which a copy of what is put stays on this machine: later tasks read it, or the report."""
_RETRIES: dict[str, Any] = {
    "max_retries": 10,
    "backoff": {"base": 3, "init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=15)},
}
"""Tells the client to try again where it may ask twice, for half a minute: an overrun store recovers in that."""
_FIRST_S = 10, 10
"""So long a request may take, and after so long it is not tried again. The first of all: an address may be wrong."""
_SOON_S = 30, 45
"""Likewise one that is answered at once."""
_BODIES_S = 120, 600
"""Likewise one with a body of any size: what has come of it is gone on with."""
_PAUSES_S = (0.2, 1.0, 4.0)
"""Before each further try where only we know that it does no harm."""
_REPEATED_S = 40.0
"""After so long there is none: the client itself has tried again meanwhile, or waited."""
_CLIENT_OPTIONS = (
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "pool_idle_timeout",
    "proxy_ca_certificate",
    "proxy_url",
    "timeout",
    "user_agent",
)
"""Keys of options that are the client's, not the store's."""
_OPTIONS = {
    "s3": "endpoint, region, access_key_id",
    "gs": "service_account, bearer_token, base_url",
    "az": "account_name, account_key, endpoint",
}
_ENDPOINTS = {
    "s3": ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url", "aws_endpoint_url_s3"),
    "gs": ("base_url", "google_base_url"),
    "az": ("endpoint", "azure_endpoint", "azure_storage_endpoint"),
}
_REQUESTS: dict[str, Counter[str]] = {}
"""By the store's address: what was asked of it and not yet told."""
_COUNTING = Lock()
_ANSWERED: set[tuple[str, str]] = set()
"""Buckets, with options, that have answered this process, or the one that started it."""
_CACHED, _ADDRESS = "stores", ".address"
"""The folder of this machine's caches that is for stores, and in a store's own there the file that names it."""
_OTHER_CONFLICTS = "ContainerBeingDeleted", "ContainerDisabled", "AccountBeingCreated"
_ANYTHING = ".gristmill/probe"
_TOO_LARGE = f"is larger than the {STATE_BYTES:,} bytes that such a file may have."
T = TypeVar("T")


class _BrokenOff(MachineError):
    """A request came to no end: nobody knows whether it took effect."""


@dataclass(frozen=True)
class ObjectStore(Store):
    """A bucket, or what lies below a prefix in one.

    Args:
        url: ``SCHEME://BUCKET/PREFIX``.
        options: Of the store or its client, by obstore's names.

    Raises:
        UsageError: It is no such address.
    """

    url: str
    options: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        words = rest.rstrip("/").split("/")
        bare = scheme == "memory" and words == [""]
        plain = rest.isprintable() and not set(rest) & set("?#%*\\")
        if scheme not in SCHEMES or not (bare or all(words)) or {".", ".."} & {*words} or not plain:
            raise UsageError(
                f"{self.url}: expected SCHEME://BUCKET/PREFIX, SCHEME one of {', '.join(SCHEMES)}, the prefix "
                "without any of ? # % * \\."
            )
        object.__setattr__(self, "url", f"{scheme}://{rest.rstrip('/')}")

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> ObjectStore:
        """See :class:`Store`."""
        return replace(self, url=f"{self.url.rstrip('/')}/{name}" if self.url[-1] != "/" else self.url + name)

    @property
    def above(self) -> ObjectStore | None:
        """See :class:`Store`."""
        outer = self.url.rpartition("/")[0]
        return None if outer.endswith("/") else replace(self, url=outer)

    def at(self, place: str) -> Store:
        """See :class:`Store`."""
        same = place.startswith(f"{self.url.partition('://')[0]}://")
        return replace(self, url=place) if same else store_at(place)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.url.startswith("memory:"):
            raise UsageError(f"{self.url} lasts as long as this process: give --workers 0 as well.")
        return _handed_on, (self.url, dict(self.options), self._known in _ANSWERED)

    def asked(self) -> dict[str, int]:
        """See :class:`Store`: ``put``, ``get``, ``head``, ``list``, ``delete``, ``bytes_in``, ``bytes_out``."""
        with _COUNTING:
            return dict(_REQUESTS.pop(self.url, {}))

    def _count(self, kind: str, number: int) -> None:
        with _COUNTING:
            _REQUESTS.setdefault(self.url, Counter())[kind] += number

    def fetch(self, name: str, digest: str = "") -> Path:
        """See :class:`Store`; what was fetched stays on this machine, up to a number of bytes."""
        copies = self._copies
        if path := (digest and copies.with_digest(name, digest)) or self._kept(name):
            return path
        with self._asking("get", name):
            with self._heard():
                got = self._api.get(self._carrier, name)
            path = copies.path(name, _said_tag(got.meta))
            self._count("bytes_in", got.meta["size"])
            try:
                with naming(cache_folder()), whole_file(path) as stream:
                    for chunk in got.stream(min_chunk_size=1 << 20):
                        stream.write(chunk)
            except FileNotFoundError as err:
                if err.errno is None:  # the store's, which the client raises without a number
                    raise
                raise MachineError(
                    f"{path.parent} is not there, or was removed: copies of what is in {self} are kept there. Name "
                    "another folder with GRISTMILL_CACHE=DIR, or give the same command again."
                ) from err
        copies.added(got.meta["size"])
        return path

    def _kept(self, name: str) -> Path | None:
        """A copy of a file, if that is what it holds now."""
        copies = self._copies
        return copies.find(name, _said_tag(self._head(name))) if copies.has(name) else None

    def open_here(self, name: str) -> BufferedReader | None:
        """See :class:`Store`."""
        path = self._kept(name)
        return None if path is None else path.open("rb")

    def pieces(self, name: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """See :class:`Store`: near ones are asked for together, and several at once."""
        starts, ends = ([one[side] for one in ranges] for side in (0, 1))
        apart = sum(
            start - end > _NEAR_BYTES for end, start in zip(sorted(ends), sorted(starts)[1:], strict=False)
        )
        with self._asking("get", name, 1 + apart):
            try:
                found = self._api.get_ranges(
                    self._carrier, name, starts=starts, ends=ends, coalesce=_NEAR_BYTES
                )
            except self._api.exceptions.GenericError as err:
                if not _is_beyond(err):
                    raise
                found = [b""] * len(ranges)
        self._count("bytes_in", sum(map(len, found)))
        return list(map(bytes, found))

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """See :class:`Store`."""
        if size == 0:
            return b""
        with self._asking("get", name):
            if start == 0 and size is None:
                with self._heard():
                    got = self._api.get(self._client, name)
                if got.meta["size"] > STATE_BYTES:
                    raise DamagedOutput(f"{self}/{name} {_TOO_LARGE}")
                body = bytes(got.bytes())
            else:
                wanted = start, start + (STATE_BYTES + 1 if size is None else size)
                try:
                    body = bytes(self._api.get(self._carrier, name, options={"range": wanted}).bytes())
                except self._api.exceptions.GenericError as err:
                    if not _is_beyond(err):
                        raise
                    body = b""
        self._count("bytes_in", len(body))
        if size is None and len(body) > STATE_BYTES:
            raise DamagedOutput(f"{self}/{name} {_TOO_LARGE}")
        return body

    def put(self, name: str, body: bytes | Path) -> None:
        """See :class:`Store`."""
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        part = max(_PART_BYTES, -(-size // _MOST_PARTS))
        parted = size > part

        def put() -> str:
            soon = self._heard() if size < _SMALL_BYTES else nullcontext()
            with self._asking("put", name, 2 + -(-size // part) if parted else 1), soon:
                done = self._api.put(
                    self._client if size < _SMALL_BYTES else self._carrier,
                    name,
                    body,
                    use_multipart=parted,
                    chunk_size=part,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            return str(done["e_tag"] or "").strip('"')

        tag = _repeated(put)
        self._count("bytes_out", size)
        if tag and isinstance(body, Path) and name.startswith(_READ_SOON):
            if body == (own := self.work(name)):
                _tag_beside(own).write_text(tag)  # until it is settled it may be gone on with, and put again
            elif body.parent == own.parent:
                self._copies.link(name, tag, body)

    def settle(self, name: str, digest: str = "") -> None:
        """See :class:`Store`; a copy stays, as it will be read."""
        own = self.work(name)
        with suppress(FileNotFoundError):
            self._copies.link(name, _tag_beside(own).read_text(), own)
            _tag_beside(own).unlink()
        own.unlink(missing_ok=True)
        if digest:
            self._copies.mark(name, digest)

    def put_if_absent(self, name: str, body: bytes) -> bool:
        """See :class:`Store`: one is there, and it may be ours, put by a try whose answer was lost."""

        def put() -> None:
            with self._asking("put", name), self._heard():
                self._api.put(self._client, name, body, mode="create", use_multipart=False)

        try:
            _repeated(put)
        except FileExistsError:
            with suppress(FileNotFoundError):  # removed meanwhile
                return self.read(name, 0, len(body) + 1) == body
            return False
        self._count("bytes_out", len(body))
        return True

    def list(self, folder: str = "") -> Iterator[Stored]:
        """See :class:`Store`."""
        with self._asking("list", folder):
            found = self._api.list(self._client, folder or None, chunk_size=_LISTED_AT_ONCE)
            for number, chunk in enumerate(self._each_heard(found)):
                self._count("list", int(number > 0))
                yield from (Stored(one["path"], one["size"], _said_tag(one)) for one in chunk)

    def _each_heard(self, found: Iterable[Any]) -> Iterator[Any]:
        chunks = iter(found)
        while True:
            with self._heard():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def below(self, name: str) -> tuple[str, ...]:
        """See :class:`Store`: a request for what lies just below, and one for each folder there."""
        with self._asking("list", name):
            folders = self._api.list_with_delimiter(self._client)["common_prefixes"]
        return tuple(folder for folder in sorted(folders) if self.size(f"{folder}/{name}") is not None)

    def look(self, name: str) -> Stored | None:
        """Say what a listing would tell of one object; None if it is not there."""
        try:
            found = self._head(name)
        except FileNotFoundError:
            return None
        return Stored(name, found["size"], _said_tag(found))

    def size(self, name: str) -> int | None:
        """See :class:`Store`."""
        found = self.look(name)
        return found.size_bytes if found else None

    def delete(self, name: str) -> None:
        """See :class:`Store`."""

        def delete() -> None:
            with suppress(FileNotFoundError), self._asking("delete", name), self._heard():
                self._api.delete(self._client, name)

        _repeated(delete)
        self._copies.drop(name)

    @property
    def _copies(self) -> Copies:
        # of all stores: together they may fill so much
        return Copies(cache_folder() / _CACHED / "fetched", self.url)

    def work(self, name: str) -> Path:
        """See :class:`Store`: in a folder of this store's own among the caches of this machine."""
        return cache_folder() / _CACHED / f"{self.title[:40] or 'memory'}-{short_digest(self.url)}" / name

    def leases(self, name: str) -> Leases:
        """See :class:`Store`; the folder of what is in the making here says whose it is."""
        if not (own := self.work(_ADDRESS)).exists():
            write_whole(own, self.url.encode())
        return super().leases(name)

    def under_way_here(self) -> Iterator[ObjectStore]:
        """See :class:`Store`."""
        for path in sorted((cache_folder() / _CACHED).glob(f"*/{_ADDRESS}")):
            url = path.read_text(errors="replace")
            if url == self.url or url.startswith(f"{self.url}/"):
                found = replace(self, url=url)
                if found.work(_ADDRESS) == path:
                    yield found

    def _head(self, name: str) -> Mapping[str, Any]:
        with self._asking("head", name), self._heard():
            found: Mapping[str, Any] = self._api.head(self._client, name)
            return found

    @property
    def _client(self) -> Any:
        if self._known not in _ANSWERED:
            self._await_first_answer()
            _ANSWERED.add(self._known)
        return self._of(_SOON_S)

    @property
    def _carrier(self) -> Any:
        """A client for bodies, which may take their time."""
        return self._client if self.url.startswith("memory:") else self._of(_BODIES_S)

    def _of(self, patience_s: tuple[float, float]) -> Any:
        return _client(self.url, tuple(sorted(self.options.items())), os.getpid(), patience_s)

    @property
    def _known(self) -> tuple[str, str]:
        return "/".join(self.url.split("/")[:3]), repr(sorted(self.options.items()))

    def _await_first_answer(self) -> None:
        """Ask for anything, so that a place that is dead is told soon. Any answer will do.

        Raises:
            MachineError: None came.
        """
        if self.url.startswith("memory:"):
            return
        self._count("head", 1)
        try:
            with self._heard():
                self._api.head(self._of(_FIRST_S), _ANYTHING)
        except (self._api.exceptions.BaseError, FileNotFoundError) as err:
            if is_silent(str(err)):
                told = refusal(self.url.partition(":")[0], "head", str(err))
                raise MachineError(f"{self}: {told}") from err

    def _heard(self) -> AbstractContextManager[None]:
        """Have it told what is waited for, if a request that is answered at once is not."""
        return told_if_silent(self._waited_for)

    def _waited_for(self) -> str:
        where = _endpoint(self.url.partition(":")[0], self.options)
        return f"waiting for {self}{f' at {where}' if where else ''}, which has not answered"

    @property
    def _api(self) -> Any:
        return _obstore(self.url)

    @contextmanager
    def _asking(self, kind: str, name: str, count: int = 1) -> Iterator[None]:
        """Count requests, and put what goes wrong in the words of every store.

        Raises:
            FileNotFoundError: The object is not there.
            FileExistsError: It is.
            MachineError: Anything else, with what to do.
        """
        _ = self._client  # which awaits the first answer of all, before anything is asked for
        self._count(kind, count)
        errors = self._api.exceptions
        try:
            yield
        except FileNotFoundError as err:
            if is_gone(str(err)):
                raise MachineError(f"{self}: {NO_BUCKET}") from err
            if kind == "put":
                raise self._refused(kind, name, err) from err
            raise FileNotFoundError(2, "not in this store", f"{self}/{name}") from err
        except errors.AlreadyExistsError as err:
            if _is_other_conflict(str(err)):
                raise self._refused(kind, name, err) from err
            raise FileExistsError(17, "in this store already", f"{self}/{name}") from err
        except errors.BaseError as err:
            told = self._with_reason(name, err) if kind == "head" else err
            if is_gone(str(told)):
                raise MachineError(f"{self}: {NO_BUCKET}") from err
            raise self._refused(kind, name, told) from err

    def _with_reason(self, name: str, err: Exception) -> Exception:
        """Ask for an object's first byte where its head was refused: the answer to that can say why."""
        if has_reason(str(err)) or MAY_PASS.search(str(err)):
            return err
        self._count("get", 1)
        try:
            self._api.get_range(self._client, name, start=0, length=1)
        except (self._api.exceptions.BaseError, FileNotFoundError) as worded:
            return worded if has_reason(str(worded)) else err
        return err

    def _refused(self, kind: str, name: str, err: Exception) -> MachineError:
        """Say in a sentence what a store refused, or that it does not answer."""
        passing = MAY_PASS.search(str(err)) is not None
        told = refusal(self.url.partition(":")[0], kind, str(err))
        return (_BrokenOff if passing else MachineError)(f"{self}/{name}: {told}")


def _handed_on(url: str, options: Mapping[str, str], answered: bool) -> ObjectStore:
    """Make a store that another process had, and may have had an answer of."""
    store = ObjectStore(url, options)
    if answered:
        _ANSWERED.add(store._known)
    return store


def _repeated(ask: Callable[[], T]) -> T:
    """Ask for what does no harm when it is done twice; again where a connection broke off."""
    until = time.monotonic() + _REPEATED_S
    for pause_s in _PAUSES_S:
        try:
            return ask()
        except _BrokenOff:
            if time.monotonic() > until:
                raise
            time.sleep(pause_s)
    return ask()


def _obstore(url: str) -> Any:
    """The library, where it is installed.

    Raises:
        UsageError: It is not.
    """
    try:
        api = import_module("obstore")
        import_module("obstore.store")
        import_module("obstore.exceptions")
    except ImportError as err:
        raise UsageError(f"{url} needs obstore. Give: {install('cloud')}") from err
    return api


@lru_cache(maxsize=48)
def _client(
    url: str, options: tuple[tuple[str, str], ...], process: int, patience_s: tuple[float, float]
) -> Any:
    """A client of this process's own: its threads do not outlive a fork."""
    api = _obstore(url)
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return api.store.MemoryStore()
    of_client: dict[str, Any] = {key: value for key, value in options if key in _CLIENT_OPTIONS}
    of_store = {key: value for key, value in options if key not in _CLIENT_OPTIONS}
    if scheme == "gs" or _endpoint(scheme, of_store).startswith("http://"):  # a person named it so
        of_client.setdefault("allow_http", "true")
    if scheme == "s3":  # one object at a time is deleted, and not all stores know how to delete many
        of_store.setdefault("disable_bulk_delete", "true")
    of_client.setdefault("timeout", f"{patience_s[0]}s")
    of_client = {
        key: value == "true" if key.startswith("allow_") else value for key, value in of_client.items()
    }
    try:
        return api.store.from_url(
            url,
            config=of_store or None,
            client_options=of_client,
            retry_config={**_RETRIES, "retry_timeout": timedelta(seconds=patience_s[1])},
        )
    except api.exceptions.BaseError as err:
        raise UsageError(
            f"{url}: {first_line(str(err))} Credentials are {CREDENTIALS[scheme]}; or --store-option KEY=VALUE, with "
            f"obstore's keys, as {_OPTIONS[scheme]}."
        ) from err


def _endpoint(scheme: str, given: Mapping[str, str]) -> str:
    """Say where requests go, if not to the cloud itself. Google's may stand in a file of credentials as well."""
    found = {key.lower(): value for key, value in (*os.environ.items(), *given.items())}
    return next((found[name] for name in _ENDPOINTS[scheme] if found.get(name)), "")


def _said_tag(meta: Mapping[str, Any]) -> str:
    """What is another where another object took a name: its tag, which not all listings quote, or time and size."""
    return str(meta["e_tag"] or (meta["last_modified"], meta["size"])).strip('"')


def _tag_beside(path: Path) -> Path:
    """Name the file that holds the tag of the object as which a file in the making was put."""
    return path.with_name(f"{path.name}.tag")


def _is_beyond(err: Exception) -> bool:
    """Whether a range was asked for that begins where the object has ended."""
    return "416 Range Not Satisfiable" in str(err) or "StartTooLarge" in str(err)


def _is_other_conflict(text: str) -> bool:
    """Say whether Azure refused otherwise than because the object is there, for which the client takes each 409."""
    return "409 Conflict" in text and any(f"<Code>{code}" in text for code in _OTHER_CONFLICTS)
