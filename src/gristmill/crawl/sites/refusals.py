"""From what yt-dlp says of a page to a reason: by the kind of its error first, then by its words.

The words are those of yt-dlp 2026.10 and of the sites whose sentences it repeats, compared without regard to case and
to the form of apostrophes. What is not known is ``site_refused``, with the words as its detail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gristmill.crawl.classify import reason_of_status
from gristmill.spec.reasons import Reason

__all__ = ["SHUTS", "Said", "reason_of"]

SHUTS = frozenset({Reason.BOT_CHECK, Reason.HTTP_429})
"""What a site says of us and not of a video: it is left alone for a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Holds what yt-dlp said of a page that gave no video.

    Attributes:
        text: The error's words.
        kinds: Names of the classes of the error and of its causes, the outermost first.
        status: HTTP status, where one was the cause.
        warnings: Said before.
        runtime: Whether there is a JavaScript runtime that yt-dlp can use.
        in_page: It was said while the page was read, before the download began.
    """

    text: str
    kinds: Sequence[str] = ()
    status: int | None = None
    warnings: Sequence[str] = ()
    runtime: bool = True
    in_page: bool = True


_BY_WORDS: Sequence[tuple[Reason, str]] = (
    (Reason.BOT_CHECK, r"not a bot|captcha|unusual traffic|automated (?:queries|requests)"),
    (
        Reason.HTTP_429,
        r"too many requests|rate.?limit|this content isn't available, try again later|"
        r"try again later\b.*(?:session|account)",
    ),
    (
        Reason.VIDEO_MEMBERS,
        r"members.only|(?:this )?channel's members|join this channel|subscribers? only|only available (?:to|for) "
        r"(?:paid |premium |paying )?(?:subscribers|members)|requires? payment|must be purchased|premium (?:members|"
        r"account|subscription)|music premium|rental",
    ),
    (
        Reason.VIDEO_AGE,
        r"confirm your age|age.?restricted|age.?gate|inappropriate for some users|adults? only|verify your age",
    ),
    (
        Reason.VIDEO_REGION,
        r"geo.?restrict|in your (?:country|region|location)|from your (?:country|region|location)|"
        r"not available in (?:this|your) country|blocked it (?:in|on)|georestricted",
    ),
    (Reason.VIDEO_PRIVATE, r"private video|video is private|is private\b|made private|granted access"),
    (
        Reason.VIDEO_NOT_YET,
        r"premieres? in|live event will begin|will begin (?:in|shortly)|is live\b|upcoming",
    ),
    (Reason.NO_FORMAT, r"drm.?protected"),
    (
        Reason.VIDEO_GONE,
        r"video (?:is )?(?:unavailable|not available|no longer available|does not exist|doesn't exist|not found)|"
        r"(?:has been|was) (?:removed|deleted|terminated|taken down)|no longer available|account .*terminated|"
        r"removed (?:by|for)|deleted by|video id .* is invalid|incomplete .* id|this video isn't available",
    ),
    (
        Reason.VIDEO_LOGIN,
        r"log.?in required|login details|sign in|logged.in|registered users|use --cookies|--username and --password|"
        r"authentication",
    ),
    (
        Reason.NO_FORMAT,
        r"requested format is not available|no video formats|only images are|unsupported url",
    ),
    (Reason.TLS, r"certificate|ssl:"),
    (Reason.DNS_NOT_FOUND, r"name or service not known|nodename nor servname|no address associated"),
    (Reason.DNS_FAILED, r"temporary failure in name resolution|getaddrinfo"),
    (
        Reason.CONNECT_FAILED,
        r"connection refused|network is unreachable|no route to host|unable to connect to proxy",
    ),
    (
        Reason.SHORT_BODY,
        r"incompleteread|bytes read, .* more expected|did not get any data|content too short|"
        r"downloaded file is empty",
    ),
    (
        Reason.RESET,
        r"connection (?:was )?(?:reset|aborted|broken)|remote end closed|remotedisconnected|broken pipe",
    ),
    (Reason.STALLED, r"timed out|timeout"),
)
_WORDS = [(reason, re.compile(words, re.IGNORECASE)) for reason, words in _BY_WORDS]
_NO_RUNTIME = re.compile(
    r"javascript runtime|js runtime|challenge solving failed|only images are", re.IGNORECASE
)
_NO_WORDS = re.compile(r"^\[[^\]]*\]\s+(?:\S+: )?|https?://\S+")
"""Site, id and addresses: they may hold any word."""
_BY_KIND = {
    "GeoRestrictedError": Reason.VIDEO_REGION,
    "UserNotLive": Reason.VIDEO_NOT_YET,
    "CertificateVerifyError": Reason.TLS,
    "IncompleteRead": Reason.SHORT_BODY,
    "ContentTooShortError": Reason.SHORT_BODY,
    "UnsupportedError": Reason.NO_FORMAT,
}


def reason_of(said: Said) -> Reason:
    """The reason that stands for what was said; ``site_refused`` where nothing is known of it."""
    text = _NO_WORDS.sub("", said.text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    found = next((_BY_KIND[kind] for kind in said.kinds if kind in _BY_KIND), None)
    if found is None:
        if said.status == 429:
            return Reason.HTTP_429
        found = next((reason for reason, words in _WORDS if words.search(text)), None)
        if said.status is not None and found not in SHUTS and not (found in _OF_VIDEO and said.in_page):
            return reason_of_status(said.status, None) or Reason.HTTP_OTHER
    if (
        found is Reason.NO_FORMAT
        and not said.runtime
        and any(map(_NO_RUNTIME.search, (text, *said.warnings)))
    ):
        return Reason.NO_RUNTIME
    return found or Reason.SITE_REFUSED


_OF_VIDEO = frozenset(
    {
        Reason.VIDEO_MEMBERS,
        Reason.VIDEO_AGE,
        Reason.VIDEO_REGION,
        Reason.VIDEO_PRIVATE,
        Reason.VIDEO_NOT_YET,
        Reason.VIDEO_GONE,
        Reason.VIDEO_LOGIN,
    }
)
"""More is said by them than by the status that came with them."""
