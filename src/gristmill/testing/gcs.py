"""Plays Google Cloud Storage on loopback: what its XML API answers to the requests of our client, from memory.

It is written after Google's reference of that API. So it shows that addresses, tokens, conditions, ranges and parts
leave this machine in the form which that reference asks for; that Google's store keeps to it, it cannot show.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from html import escape

from gristmill.testing.serving import LoopbackServer, Request, Served

__all__ = ["FakeGcs"]

_PAGE_NAMES = 1000
_MADE = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    body: bytes
    tag: str
    generation: int


class _Refused(Exception):
    """An answer other than what was asked for: a status, and a code of the API."""


class FakeGcs(LoopbackServer):
    """Google Cloud Storage with one bucket; a context manager that serves from a thread of its own.

    Args:
        bucket: Its name.
        token: The only one that is let in.
        port: 0 takes a free one.

    Attributes:
        hits, log: The requests, as in :class:`LoopbackServer`.
    """

    def __init__(self, *, bucket: str = "bucket", token: str = "made-up", port: int = 0) -> None:
        super().__init__(port=port)
        self._bucket, self._token = bucket, token
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, dict[int, _Object]] = {}
        self._generations = itertools.count(1)

    @property
    def options(self) -> dict[str, str]:
        """Give the options of an ``ObjectStore`` in its bucket."""
        return {"base_url": self.origin(), "bearer_token": self._token}

    async def answer(self, exchange: Served) -> None:
        """See :class:`LoopbackServer`."""
        try:
            status, body, headers = self._answered(exchange.request)
        except _Refused as err:
            status, code = err.args
            body = f"<Error><Code>{code}</Code><Message>This is {code}.</Message></Error>".encode()
            headers = []
        await exchange.send(body, status=status, content_type="application/xml", headers=headers)

    def _answered(self, asked: Request) -> tuple[int, bytes, list[tuple[str, str]]]:
        if asked.headers.get("authorization", "").removeprefix("Bearer").strip() != self._token:
            raise _Refused(401, "AuthenticationRequired")
        _, bucket, name = [*asked.path.split("/", 2), ""][:3]
        if bucket != self._bucket:
            raise _Refused(404, "NoSuchBucket")
        if not name:
            return 200, self._listed(asked.query), []
        if "uploadId" in asked.query or asked.target.partition("?")[2].startswith("uploads"):
            return self._part(asked, name)
        if asked.method == "PUT":
            if asked.headers.get("x-goog-if-generation-match") == "0" and name in self._objects:
                raise _Refused(412, "PreconditionFailed")
            self._objects[name] = found = self._made(asked.body)
            return 200, b"", _facts(found)
        if name not in self._objects:
            raise _Refused(404, "NoSuchKey")
        if asked.method == "DELETE":
            del self._objects[name]
            return 204, b"", []
        return _read(self._objects[name], asked)

    def _made(self, body: bytes) -> _Object:
        tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        return _Object(body=body, tag=tag, generation=next(self._generations))

    def _part(self, asked: Request, name: str) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Begin an upload in parts, take a part, or make an object of those that are named."""
        if asked.method == "POST" and "uploadId" not in asked.query:
            self._uploads[number := secrets.token_hex(8)] = {}
            text = f"<UploadId>{number}</UploadId>"
            return 200, f"<InitiateMultipartUploadResult>{text}</InitiateMultipartUploadResult>".encode(), []
        if (upload := self._uploads.get(asked.query["uploadId"])) is None:
            raise _Refused(404, "NoSuchUpload")
        if asked.method == "PUT":
            upload[int(asked.query["partNumber"])] = part = self._made(asked.body)
            return 200, b"", _facts(part)
        del self._uploads[asked.query["uploadId"]]
        if asked.method == "DELETE":
            return 204, b"", []
        numbers = re.findall(r"<PartNumber>(\d+)</PartNumber>", asked.body.decode())
        self._objects[name] = found = self._made(b"".join(upload[int(number)].body for number in numbers))
        text = f"<ETag>{escape(found.tag)}</ETag>"
        made = f"<CompleteMultipartUploadResult>{text}</CompleteMultipartUploadResult>"
        return 200, made.encode(), _facts(found)

    def _listed(self, query: Mapping[str, str]) -> bytes:
        """A page of the names below a prefix; of those that go on after a delimiter, only so far, as folders."""
        prefix, after, cut = (
            query.get("prefix", ""),
            query.get("continuation-token", ""),
            query.get("delimiter"),
        )
        rows: dict[str, str] = {}
        for name in sorted(self._objects):
            found, rest = self._objects[name], name[len(prefix) :]
            shown = name if not cut or cut not in rest else prefix + rest.partition(cut)[0] + cut
            if not name.startswith(prefix) or shown <= after or shown in rows:
                continue
            if len(rows) == _PAGE_NAMES:
                token = f"<NextContinuationToken>{escape(max(rows))}</NextContinuationToken>"
                break
            rows[shown] = (
                f"<CommonPrefixes><Prefix>{escape(shown)}</Prefix></CommonPrefixes>"
                if shown != name
                else f"<Contents><Key>{escape(name)}</Key><Size>{len(found.body)}</Size>"
                f"<LastModified>{_MADE}</LastModified><ETag>{escape(found.tag)}</ETag></Contents>"
            )
        else:
            token = ""
        return f"<ListBucketResult>{token}{''.join(rows.values())}</ListBucketResult>".encode()


def _facts(found: _Object) -> list[tuple[str, str]]:
    return [
        ("ETag", found.tag),
        ("x-goog-generation", str(found.generation)),
        ("Last-Modified", formatdate(usegmt=True)),
    ]


def _read(found: _Object, asked: Request) -> tuple[int, bytes, list[tuple[str, str]]]:
    """The object, or a range of it; of one that is only looked at, no byte is sent."""
    size = len(found.body)
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if wanted is None:
        return 200, found.body, _facts(found)
    start, stop = int(wanted[1]), min(size, int(wanted[2] or size) + 1)
    if start >= size:
        raise _Refused(416, "InvalidRange")
    said = ("Content-Range", f"bytes {start}-{stop - 1}/{size}")
    return 206, found.body[start:stop], [*_facts(found), said]
