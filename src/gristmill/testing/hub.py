"""A made-up dataset hub on the loopback, for the unmodified `huggingface_hub` client.

    with FakeHub({"kakaobrain/coyo-700m": folder}) as hub:
        HfApi(endpoint=hub.url).list_repo_files("kakaobrain/coyo-700m", repo_type="dataset")

or with ``HF_ENDPOINT`` set to ``hub.url``. It answers what the client asks for when it looks at a dataset and
downloads from it: repository and revision facts, the file tree in pages, path facts, and files with entity
tags, ranges and, for large files, a redirect to a second address that stands for the content network.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from gristmill.testing.hub_files import PlayedFile, hub_files
from gristmill.testing.serving import LoopbackServer, Served, head

__all__ = ["DEFAULT_REVISION", "FakeHub"]

DEFAULT_REVISION = "0123456789abcdef0123456789abcdef01234567"

_PIECE_BYTES = 1 << 18
_CREATED = "2022-08-25T00:00:00.000Z"


@dataclass(slots=True)
class _Mishap:
    """Something that goes wrong with files whose path matches, a number of times."""

    pattern: str
    times: int
    status: int = 0  # 0: the body is cut off
    after_bytes: int = 0
    headers: tuple[tuple[str, str], ...] = ()


class _Refused(Exception):
    """An answer other than what was asked for, in the hub's terms."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


class FakeHub(LoopbackServer):
    """The made-up hub; a context manager that serves from a thread of its own.

    Args:
        repos: dataset name (``owner/name`` or ``name``), or ``models/owner/name``, to a folder, or to path -> bytes
            or file.
        revision: the commit that ``main`` stands for in every repository.
        any_revision: whatever commit is asked for stands for the same: recipes pin each its own.
        token: the only valid token; needed for private and gated repositories.
        private: repositories that do not exist for those without the token.
        gated: repositories whose terms nobody has accepted: facts are public, files are refused.
        granted: gated repositories that the token may read.
        page_size: entries in one page of a tree.
        lfs_over_bytes: larger files lie in LFS: their entity tag is their sha256, and they are redirected.
        redirect: send clients to a second loopback address for LFS files (needs Linux).
        port: 0 takes a free one.

    Attributes:
        hits, log: the requests, as in `LoopbackServer`.
    """

    def __init__(
        self,
        repos: Mapping[str, Path | Mapping[str, bytes | Path]],
        *,
        revision: str = DEFAULT_REVISION,
        any_revision: bool = False,
        token: str = "hf_made_up",
        private: Collection[str] = (),
        gated: Collection[str] = (),
        granted: Collection[str] = (),
        page_size: int = 1000,
        lfs_over_bytes: int = 1000,
        redirect: bool = True,
        port: int = 0,
    ) -> None:
        super().__init__(addresses=2 if redirect else 1, port=port)
        self.revision = revision
        self._any_revision = any_revision
        self.token = token
        self._repos = {name: hub_files(files, lfs_over_bytes) for name, files in repos.items()}
        self._private, self._gated, self._granted = set(private), set(gated), set(granted)
        self._page_size = page_size
        self._redirect = redirect
        self._mishaps: list[_Mishap] = []
        self._stored: dict[str, PlayedFile] = {}  # by sha256, once somebody was redirected to it

    @property
    def url(self) -> str:
        """Say what to give as ``endpoint`` or ``HF_ENDPOINT``."""
        return self.origin(0)

    def cut(self, pattern: str, *, after_bytes: int, times: int = 1) -> None:
        """Cut the connection after so many bytes of the next downloads of matching paths (fnmatch)."""
        self._mishaps.append(_Mishap(pattern, times, after_bytes=after_bytes))

    def fail(
        self, pattern: str, status: int, *, times: int = 1, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer the next requests for matching files, or for the tree (``tree``), with this status."""
        self._mishaps.append(_Mishap(pattern, times, status=status, headers=tuple(headers)))

    def mend(self) -> None:
        """Forget the cuts and failures that are still to come."""
        self._mishaps.clear()

    def spoil(self, repo: str, path: str) -> None:
        """Serve other bytes of the same number from now on, while all checksums stay as they were."""
        self._repos[repo][path].spoiled = True

    async def answer(self, exchange: Served) -> None:
        """Answer as the hub does; see the module's first lines."""
        parts = [unquote(part) for part in exchange.request.target.partition("?")[0].strip("/").split("/")]
        try:
            if parts[:2] == ["api", "datasets"]:
                await self._answer_api(exchange, *self._repo_and_rest(parts[2:]))
            elif parts[:2] == ["api", "models"]:
                await self._answer_api(exchange, *self._repo_and_rest(parts[2:], of="models/"))
            elif parts[0] == "datasets":
                await self._answer_resolve(exchange, *self._repo_and_rest(parts[1:]))
            elif parts[0] == "_content":
                await self._answer_content(exchange, parts[1])
            elif parts == ["api", "whoami-v2"]:
                await self._answer_whoami(exchange)
            elif parts[2:3] == ["resolve"]:
                await self._answer_resolve(exchange, *self._repo_and_rest(parts, of="models/"))
            else:
                raise _Refused(404, "", "Not Found")
        except _Refused as refused:
            fields = [("X-Error-Code", refused.code)] if refused.code else []
            fields.append(("X-Error-Message", refused.message))
            await _send_json(exchange, {"error": refused.message}, status=refused.status, headers=fields)

    # who may see what

    def _repo_and_rest(self, parts: list[str], of: str = "") -> tuple[str, list[str]]:
        for length in (2, 1):
            if (name := of + "/".join(parts[:length])) in self._repos:
                return name, parts[length:]
        raise _Refused(401, "RepoNotFound", "Repository not found")

    def _check(self, exchange: Served, repo: str, *, files: bool) -> None:
        given = exchange.request.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given != self.token:
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        if repo in self._private and not given:
            raise _Refused(401, "RepoNotFound", "Repository not found")
        if files and repo in self._gated and not (given and repo in self._granted):
            hint = (
                "You are not in the authorized list." if given else "You must be authenticated to access it."
            )
            raise _Refused(
                403 if given else 401, "GatedRepo", f"Access to dataset {repo} is restricted. {hint}"
            )

    def _check_revision(self, revision: str) -> None:
        if not self._any_revision and revision not in {"main", self.revision, "refs/heads/main"}:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    # facts

    async def _answer_api(self, exchange: Served, repo: str, rest: list[str]) -> None:
        self._check(exchange, repo, files=False)
        verb, revision = (rest + ["revision", "main"][len(rest) :])[:2]
        self._check_revision(revision)
        if verb == "revision":
            await _send_json(exchange, self._repo_facts(repo, blobs="blobs" in exchange.request.query))
        elif verb == "tree":
            await self._answer_tree(exchange, repo, "/".join(rest[2:]))
        elif verb == "paths-info":
            files = self._repos[repo]
            await _send_json(exchange, [files[path].facts() for path in _paths(exchange) if path in files])
        else:
            raise _Refused(404, "", "Not Found")

    def _repo_facts(self, repo: str, *, blobs: bool) -> dict[str, Any]:
        return {
            "_id": "6300000000000000000000ff",
            "id": repo,
            "author": repo.partition("/")[0],
            "sha": self.revision,
            "createdAt": _CREATED,
            "lastModified": _CREATED,
            "private": repo in self._private,
            "gated": "auto" if repo in self._gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [file.sibling(blobs=blobs) for file in self._repos[repo].values()],
        }

    async def _answer_tree(self, exchange: Served, repo: str, folder: str) -> None:
        if mishap := self._mishap("tree"):
            return await exchange.send(status=mishap.status, headers=mishap.headers)
        query = exchange.request.query
        entries = self._entries(repo, folder, recursive=query.get("recursive", "").lower() == "true")
        if folder and not entries:
            raise _Refused(404, "EntryNotFound", f"{folder} does not exist on {self.revision}")
        start = int(query.get("cursor", 0))
        end = start + self._page_size
        fields = []
        if end < len(entries):
            path = quote(exchange.request.path)
            more = "&".join(f"{key}={value}" for key, value in query.items() if key != "cursor")
            fields.append(("Link", f'<{self.url}{path}?{more}&cursor={end}>; rel="next"'))
        await _send_json(exchange, entries[start:end], headers=fields)

    def _entries(self, repo: str, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        """Files below a folder, and the folders between, sorted by path."""
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict[str, Any]] = {}
        for path, file in self._repos[repo].items():
            if not path.startswith(prefix):
                continue
            names = path.removeprefix(prefix).split("/")
            for depth in range(1, len(names) if recursive else min(2, len(names))):
                between = prefix + "/".join(names[:depth])
                found.setdefault(between, {"type": "directory", "oid": "0" * 40, "size": 0, "path": between})
            if recursive or len(names) == 1:
                found[path] = file.facts()
        return [found[path] for path in sorted(found)]

    async def _answer_whoami(self, exchange: Served) -> None:
        if exchange.request.headers.get("authorization") != f"Bearer {self.token}":
            raise _Refused(401, "", "Invalid username or password.")
        await _send_json(
            exchange, {"type": "user", "name": "somebody", "orgs": [], "auth": {"type": "access_token"}}
        )

    # files

    async def _answer_resolve(self, exchange: Served, repo: str, rest: list[str]) -> None:
        verb, revision, *path = [*rest, "", ""][: max(2, len(rest))]
        if verb != "resolve":
            raise _Refused(404, "", "Not Found")
        self._check(exchange, repo, files=True)
        self._check_revision(revision)
        file = self._repos[repo].get("/".join(path))
        if file is None:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        fields = [("X-Repo-Commit", self.revision), ("ETag", f'"{file.etag}"')]
        if not file.lfs:
            return await self._send_file(exchange, file, fields)
        fields += [("X-Linked-Size", str(file.size)), ("X-Linked-ETag", f'"{file.sha256}"')]
        if not self._redirect:
            return await self._send_file(exchange, file, fields)
        self._stored[file.sha256] = file
        location = f"{self.origin(1)}/_content/{file.sha256}"
        await exchange.send(status=302, headers=[*fields, ("Location", location)])

    async def _answer_content(self, exchange: Served, sha256: str) -> None:
        file = self._stored.get(sha256)
        if file is None:
            raise _Refused(404, "", "NoSuchKey")
        if "authorization" in exchange.request.headers:
            raise _Refused(400, "", "Only one auth mechanism allowed")  # as object stores do
        await self._send_file(exchange, file, [("ETag", f'"{file.sha256}"')])

    async def _send_file(self, exchange: Served, file: PlayedFile, fields: list[tuple[str, str]]) -> None:
        start, end = _span(exchange, file.size)
        if start >= file.size > 0:
            return await exchange.send(status=416, headers=[("Content-Range", f"bytes */{file.size}")])
        asked_for_part = "range" in exchange.request.headers
        if asked_for_part:
            fields = [*fields, ("Content-Range", f"bytes {start}-{end - 1}/{file.size}")]
        fields = [*fields, ("Accept-Ranges", "bytes"), ("Content-Length", str(end - start))]
        is_head = exchange.request.method == "HEAD"
        mishap = None if is_head else self._mishap(file.path)
        if mishap and mishap.status:
            return await exchange.send(status=mishap.status, headers=mishap.headers)
        await exchange.raw(head(206 if asked_for_part else 200, fields))
        if not is_head:
            stop = min(end, start + mishap.after_bytes) if mishap else end
            for position in range(start, stop, _PIECE_BYTES):
                await exchange.raw(file.read(position, min(stop, position + _PIECE_BYTES)))
            if mishap:
                exchange.hang_up()

    def _mishap(self, name: str) -> _Mishap | None:
        """The next thing to go wrong with this file, used up by asking."""
        for mishap in self._mishaps:
            if mishap.times > 0 and fnmatch.fnmatchcase(name, mishap.pattern):
                mishap.times -= 1
                return mishap
        return None


async def _send_json(
    exchange: Served, value: object, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> None:
    body = json.dumps(value).encode()
    await exchange.send(body, status=status, content_type="application/json; charset=utf-8", headers=headers)


def _paths(exchange: Served) -> list[str]:
    """The paths of a paths-info request, whose body is a form or JSON."""
    body = exchange.request.body.decode()
    if exchange.request.headers.get("content-type", "").startswith("application/json"):
        return list(json.loads(body)["paths"])
    return [value for key, value in parse_qsl(body) if key == "paths"]


def _span(exchange: Served, size: int) -> tuple[int, int]:
    """First byte and end of what is asked for (RFC 9110, 14.2: one range of bytes)."""
    spec = exchange.request.headers.get("range", "").removeprefix("bytes=")
    first, _, last = spec.partition("-")
    if not spec:
        return 0, size
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
