"""Says what went wrong with a request to an object store, what the store said, and what to do."""

from __future__ import annotations

import re

__all__ = [
    "CREDENTIALS",
    "MAY_PASS",
    "NO_BUCKET",
    "first_line",
    "has_reason",
    "is_gone",
    "is_silent",
    "refusal",
]

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
    "gs": "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
}
"""Variables that hold a store's credentials."""
_ENDPOINTS = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}
_CODE, _MESSAGE = re.compile(r"<Code>([^<]{1,80})</Code>"), re.compile(r"<Message>([^<\n]{1,300})")
_STATUS = re.compile(r"status code: (\d{3} [A-Za-z ]{1,40})")
_REGION = re.compile(r"<Region>([\w-]{1,40})</Region>|expecting '([\w-]{1,40})'")
_NO_ANSWER = re.compile(r"HTTP error: (.{1,200})")
_ASKED_AT = re.compile(r"Error performing [A-Z]+ (https?://[^/\s]{1,200})")
_REQUEST = re.compile(r"\A[^\n]*?Error performing [A-Z]+ \S+ in [^\n]*? - ")
_SYSTEM_SAID = re.compile(r'\bOs \{[^}]*message: "([^"]{1,100})"|\berror: "(failed to lookup [^"]{1,150})"')
_IN_TIME = (
    (re.compile(r"\bConnect,\s+TimedOut"), "it took no connection in time"),
    (re.compile(r"\bTimedOut\b"), "no answer came in time"),
)
_INSTANCE = "://169.254.169.254"
"""Tells a machine in a cloud its credentials. The client asks there if it was given none."""
_GONE = ("NoSuchBucket", "NoSuchContainer", "ContainerNotFound", "The specified bucket does not exist")
NO_BUCKET = "there is no such bucket. Create it, or correct the address."
MAY_PASS = re.compile(
    r"HTTP error: (?!.*\bmax_retries\b)|<Code>(?:NoSuchUpload|InvalidBlockList|RequestTimeout)</Code>"
)
"""Words by which the client tells of a request that it did not try again, though it may work the next time. Azure
forgets the parts of all that put one object (``InvalidBlockList``) once the first of them has put it."""
_VERBS = {
    "put": "write",
    "get": "read",
    "head": "read or list what is",
    "list": "list what is",
    "delete": "remove",
}
_REFUSALS = (
    ("Expired|TokenRefreshRequired", "the credentials have expired", "give credentials that hold ({keys})"),
    ("InvalidAccessKeyId", "the store does not know this access key", "give one that it knows ({keys})"),
    (
        "SignatureDoesNotMatch",
        "the secret key is not that of the access key",
        "give the right one ({keys})",
    ),
    (  # Azure, Google
        "AuthenticationFailed|AuthenticationRequired",
        "the key or the token is wrong, or has expired",
        "give one that holds ({keys})",
    ),
    (
        "InvalidToken|InvalidClientTokenId",
        "the session token is none of the store's",
        "give the one that belongs to the keys, or none ({keys})",
    ),
    ("TimeTooSkewed", "the clock of this machine is wrong", "set it"),
    (
        "AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocationConstraint|without LOCATION|30[17] ",
        "the bucket is in another region",
        "name its region (AWS_REGION={region}, or --store-option region={region})",
    ),
    (
        "SlowDown|ServiceUnavailable|InternalError|50[0234] ",
        "the store is overrun, or out of order",
        "wait a while",
    ),
    ("Quota|StorageFull|Insufficient ?Storage|507", "the store has no room left", "make room there"),
    (
        "AccessDenied|Forbidden|Authorization|Unauthorized|not authorized|40[13] ",
        "these credentials may not {verb} there",
        "have that allowed, or give credentials that may ({keys})",
    ),
)
"""By what the store said: what is wrong, and what to do. The first that fits counts."""


def is_gone(text: str) -> bool:
    """Say whether the client tells of a bucket that is not there."""
    return any(word in text for word in _GONE)


def is_silent(text: str) -> bool:
    """Say whether no answer came at all, or nobody could be asked."""
    return _INSTANCE in text or _NO_ANSWER.search(text) is not None


def has_reason(text: str) -> bool:
    """Say whether a store told why it refused: it cannot where it was asked for a head."""
    return _CODE.search(text) is not None


def refusal(scheme: str, kind: str, text: str) -> str:
    """Say what went wrong, and what to do; a signature that the store was asked with is not told.

    Args:
        scheme: Of the store's address.
        kind: Of the request.
        text: What the client tells.
    """
    keys = CREDENTIALS.get(scheme, "of the store")
    if _INSTANCE in text:
        return (
            f"no credentials were given, and this machine has none of its own. Give them ({keys}; or "
            "--store-option), then give the same command again."
        )
    if (silent := _NO_ANSWER.search(text)) is not None:
        asked, system = _ASKED_AT.search(text), _SYSTEM_SAID.search(text)
        why = (system[1] or system[2]) if system else silent[1].strip().rstrip(".")
        why = why if system else next((said for found, said in _IN_TIME if found.search(text)), why)
        named = f" ({_ENDPOINTS[scheme]})" if scheme in _ENDPOINTS else ""
        what = f"the store does not answer{f' at {asked[1]}' if asked else ''} ({why})"
        remedy = f"check the network and the endpoint{named}"
    else:
        said = _said(text)
        found = next((one for one in _REFUSALS if re.search(one[0], said)), None)
        if found is None:
            what, remedy = f"the store said: {said}", "put it right"
        else:
            region = next((word for one in _REGION.finditer(text) for word in one.groups() if word), "NAME")
            words = {"keys": keys, "verb": _VERBS.get(kind, "do that"), "region": region}
            what, remedy = f"{found[1].format(**words)} ({said})", found[2].format(**words)
    return f"{what}. Nothing finished is lost: {remedy}, then give the same command again."


def _said(text: str) -> str:
    """Say in short what a store said: its code and its message, or the status, or the client's first line."""
    code, message, status = _CODE.search(text), _MESSAGE.search(text), _STATUS.search(text)
    if code is not None:
        return f"{code[1]}: {message[1].partition('. ')[0].rstrip('. ')}" if message else code[1]
    if status is not None:
        return status[1].strip()
    return first_line(_REQUEST.sub("", text)).rstrip(". ")


def first_line(text: str) -> str:
    """Give the first line of what the client tells, without what an address was asked with."""
    line = text.partition("\n")[0]
    return f"{line.partition('?')[0][:300].rstrip('. ')}."
