"""Names what helps against the commonest loss of a run, where something does."""

from __future__ import annotations

from collections.abc import Mapping

from gristmill.ledger.losses import ADVICE, explained, group_of
from gristmill.ledger.words import share_text
from gristmill.spec.reasons import Reason

__all__ = ["commonest"]

_REMEDIES: Mapping[str, str] = {
    Reason.BAD_ROW: "The detail in fates/ says what is wrong with each row; a column may be another than was named",
    Reason.BAD_URL: "See whether --url-column names the column of addresses",
    Reason.BAD_SCHEME: "See whether --url-column names the column of addresses",
    Reason.BAD_PORT: "Only if these hosts are your own, --allow-private-addresses asks any port",
    Reason.PRIVATE_ADDRESS: "Only if these hosts are your own, --allow-private-addresses asks them",
    Reason.DNS_NOT_FOUND: "If names you know to exist are among them, look at this machine's resolver",
    Reason.DNS_FAILED: "Look at this machine's resolver, then ask again",
    Reason.CONNECT_FAILED: "Look at this machine's network and firewall, then ask again",
    Reason.CONNECT_TIMEOUT: "If the network is slow, lower --in-flight, then ask again",
    Reason.DEADLINE: "If the network is slow, lower --in-flight, or raise --set crawl.total_s, then ask again",
    Reason.STALLED: "If the network is slow, lower --in-flight, then ask again",
    Reason.HTTP_403: "Hosts may want to know who asks: name yourself with --contact, and lower --per-host",
    Reason.HTTP_429: "Lower --per-host, then ask again",
    Reason.HTTP_404: "Lists age: a newer list, or a mirror (--set crawl.mirror), may have more",
    Reason.NOT_AN_IMAGE: "The addresses may be of pages and not of pictures: see examples in fates/",
    Reason.TOO_SMALL: "--min-side sets the limit",
    Reason.ASPECT: "--max-aspect sets the limit",
    Reason.HASH_MISMATCH: "See whether --hash-column and --hash-kind are what the list holds; without them pictures "
    "are taken as they come",
    Reason.VIDEO_LOGIN: "Cookies of somebody who is logged in there show them: --set clip.cookies=FILE",
    Reason.VIDEO_AGE: "Cookies of somebody who has shown their age there show them: --set clip.cookies=FILE",
    Reason.VIDEO_REGION: "A copy of your own, with --source, or a proxy elsewhere if you may use one",
    Reason.BOT_CHECK: "Wait some hours; cookies (--set clip.cookies=FILE) and a longer --set clip.sleep_s help",
    Reason.NO_RUNTIME: "pip install deno, then ask again",
    Reason.NO_FORMAT: "See examples in fates/: a newer yt-dlp (pip install -U yt-dlp) may know these pages",
    Reason.SITE_REFUSED: "See the detail in fates/; a newer yt-dlp (pip install -U yt-dlp) may know these pages",
    Reason.TLS: "Look at this machine's clock and certificates",
}


def commonest(lost: Mapping[str, int]) -> str:
    """The reason that took the most, in a sentence, and what helps against it; empty where nothing was lost."""
    if not lost:
        return ""
    reason, number = min(lost.items(), key=lambda one: (-one[1], one[0]))
    share = share_text(number, sum(lost.values()))
    remedy = _REMEDIES.get(reason, ADVICE[group_of(reason)].rstrip("."))
    return f"{share} of the loss is {reason} ({explained(reason)}). {remedy}."
