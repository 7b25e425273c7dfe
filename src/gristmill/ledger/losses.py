"""Says in plain words what each reason means: where on the way it stands, and whether asking again helps."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gristmill.spec.fate import DOCUMENT_LOST, KEPT
from gristmill.spec.reasons import NO_PICTURE, NO_VIDEO, OURS, TRANSIENT, Reason

__all__ = ["ADVICE", "LossGroup", "Phase", "explained", "group_of", "grouped", "phase_of"]


class Phase(StrEnum):
    """The place where a row was lost; a level of the funnel loses to exactly one of them."""

    SELECTING = "selecting"
    READING = "reading"
    FETCHING = "fetching"
    CHECKING = "checking"
    PACKING = "packing"


class LossGroup(StrEnum):
    """Kinds of losses, by what can be done about them."""

    LATER = "later"
    OURS = "ours"
    MISSING = "missing"
    NEVER = "never"
    RULES = "rules"


ADVICE: Mapping[LossGroup, str] = {
    LossGroup.LATER: "The server or the way to it failed this time. Asking again later brings part of these back.",
    LossGroup.OURS: "These may be our own network or machine. Check that first, then ask again.",
    LossGroup.MISSING: "Not in the media that were there. If an archive or a folder is missing, bring it, then ask "
    "again with --reason no_file.",
    LossGroup.NEVER: "Gone, refused by the owner, or of no use as it is. Asking again soon will not change it.",
    LossGroup.RULES: "Left out by this dataset's own rules and limits. Nothing is broken.",
}
"""One sentence for each group."""

_TEXT = frozenset(
    {
        Reason.LEFT_OUT,
        Reason.EMPTY_TEXT,
        Reason.EMPTY_QUESTION,
        Reason.EMPTY_ANSWER,
        Reason.TEXT_TOO_LONG,
        Reason.BAD_CHARACTERS,
        Reason.MEDIA_TOKEN,
        Reason.BAD_TURNS,
        Reason.TAG_MISMATCH,
        Reason.CONTROL_TEXT,
        Reason.MOJIBAKE,
        Reason.FILE_ID,
        Reason.TEXT_REPEATS,
        Reason.TEXT_CUT_OFF,
        Reason.BAD_PATH,
        Reason.BAD_BOX,
        Reason.FEW_IMAGES,
    }
)
"""Found in a row's words and what they name, by the dataset's own rules."""

_READING = _TEXT | frozenset(
    {
        Reason.BAD_ROW,
        Reason.ROW_TOO_LONG,
        Reason.DUPLICATE_KEY,
        Reason.BAD_URL,
        Reason.BAD_SCHEME,
        Reason.BAD_PORT,
        Reason.NO_FILE,
        Reason.NO_IMAGE,
    }
)
_CHECKING = (
    NO_PICTURE
    | NO_VIDEO
    | frozenset(
        {
            Reason.TOO_SMALL,
            Reason.ASPECT,
            Reason.HASH_MISMATCH,
            Reason.PHASH_MISMATCH,
            Reason.SIZE_MISMATCH,
            Reason.BAD_BASE64,
            Reason.SAME_PICTURE,
            Reason.BENCHMARK_PICTURE,
            Reason.BENCHMARK_TEXT,
            Reason.KILLED,
        }
    )
)
_RULES = _TEXT | frozenset(
    {
        Reason.NO_SCORE,
        Reason.BELOW_FLOOR,
        Reason.BEYOND_SHARE,
        Reason.NOT_SAMPLED,
        Reason.NOT_CHOSEN,
        Reason.NOT_NEEDED,
        Reason.DUPLICATE_KEY,
        Reason.TOO_SMALL,
        Reason.ASPECT,
        Reason.SIZE_MISMATCH,
        Reason.TOO_LARGE,
        Reason.TOO_MANY_PIXELS,
        Reason.TOO_LONG,
        Reason.TOO_FEW_FRAMES,
        Reason.SAME_PICTURE,
        Reason.BENCHMARK_PICTURE,
        Reason.BENCHMARK_TEXT,
        Reason.DUPLICATE_PICTURE,
        Reason.TAIL,
    }
)

_EXPLAINED: Mapping[str, str] = {
    KEPT: "in the documents that were kept",
    DOCUMENT_LOST: "good, but its document was not kept",
    Reason.BAD_ROW: "the row could not be read",
    Reason.ROW_TOO_LONG: "the row is longer than the reader's limit",
    Reason.NO_SCORE: "the score is missing",
    Reason.BELOW_FLOOR: "the score is not above the floor",
    Reason.BEYOND_SHARE: "passes the floor, but not among the best share",
    Reason.NOT_SAMPLED: "not among the evenly spaced rows that were taken",
    Reason.NOT_CHOSEN: "left out by --only",
    Reason.LEFT_OUT: "of a split or a language that is not meant, or one too many of its kind",
    Reason.EMPTY_TEXT: "there is no text",
    Reason.EMPTY_QUESTION: "the question is empty",
    Reason.EMPTY_ANSWER: "the answer is empty",
    Reason.TEXT_TOO_LONG: "a question or an answer is longer than the limit",
    Reason.BAD_CHARACTERS: "the text holds NUL or half a surrogate pair",
    Reason.MEDIA_TOKEN: "the text holds a literal <image> or <video>",
    Reason.BAD_TURNS: "turns that no trainer takes in this order, or no question, or no answer",
    Reason.TAG_MISMATCH: "tags in the text and media are not as many, or of another kind",
    Reason.CONTROL_TEXT: "the text holds a control string of a trainer's template",
    Reason.MOJIBAKE: "the text was read in the wrong encoding before",
    Reason.FILE_ID: "the text names the record's own file",
    Reason.TEXT_REPEATS: "an answer says the same again and again",
    Reason.TEXT_CUT_OFF: "an answer ends within a sentence",
    Reason.BAD_PATH: "the path of a medium leads out of its folder, or is none",
    Reason.BAD_BOX: "a box lies outside the picture, or its sides are in the wrong order",
    Reason.FEW_IMAGES: "no image, or too few of them",
    Reason.NOT_NEEDED: "not asked for: its document was lost already",
    Reason.DUPLICATE_KEY: "the key was used before",
    Reason.BAD_URL: "the address is malformed",
    Reason.BAD_SCHEME: "the address is neither http nor https",
    Reason.BAD_PORT: "a port other than 80, 443, 8080, 8443",
    Reason.PRIVATE_ADDRESS: "the address leads into a private network",
    Reason.DNS_NOT_FOUND: "the host name does not exist",
    Reason.DNS_FAILED: "the name lookup failed or timed out",
    Reason.CONNECT_FAILED: "no connection",
    Reason.CONNECT_TIMEOUT: "no connection in time",
    Reason.TLS: "the certificate or the TLS handshake failed",
    Reason.DEADLINE: "the total time for one address was used up",
    Reason.STALLED: "the server stopped sending",
    Reason.RESET: "the connection was cut",
    Reason.SHORT_BODY: "fewer bytes came than were announced",
    Reason.TOO_LARGE: "the body is larger than the limit",
    Reason.BOMB: "the compressed body unpacks beyond the limit",
    Reason.BAD_HTTP: "the answer is not proper HTTP",
    Reason.COSTLY: "the host's answers cost too much processor time",
    Reason.REDIRECTS: "too many redirects, or a loop",
    Reason.HTTP_404: "not found (404)",
    Reason.HTTP_410: "gone (410)",
    Reason.HTTP_403: "forbidden (403)",
    Reason.HTTP_451: "blocked for legal reasons (451)",
    Reason.HTTP_429: "too many requests (429)",
    Reason.HTTP_4XX: "another refusal (4xx)",
    Reason.HTTP_5XX: "the server failed (5xx)",
    Reason.HTTP_OTHER: "another status",
    Reason.VIDEO_GONE: "the site says that the video was removed, or never was",
    Reason.VIDEO_PRIVATE: "the video is private",
    Reason.VIDEO_LOGIN: "the site shows the video to those who are logged in",
    Reason.VIDEO_AGE: "the site shows the video to those who have shown their age",
    Reason.VIDEO_REGION: "the site does not show the video in this country",
    Reason.VIDEO_MEMBERS: "the video is for members, or for those who pay",
    Reason.VIDEO_NOT_YET: "the video is live, or yet to come",
    Reason.BOT_CHECK: "the site took this machine for a robot",
    Reason.NO_RUNTIME: "the site gives no video without a JavaScript runtime, and there was none",
    Reason.NO_FORMAT: "the page shows no video that can be taken, or several",
    Reason.SITE_REFUSED: "the site gave no video for another reason, which the detail says",
    Reason.OPTED_OUT: "the owner opted out (a header, tdmrep.json or ai.txt)",
    Reason.ROBOTS: "disallowed by robots.txt",
    Reason.EMPTY: "the body is empty",
    Reason.NOT_AN_IMAGE: "something else than a picture came",
    Reason.UNSUPPORTED: "a format that is not accepted",
    Reason.TRUNCATED: "it is cut off",
    Reason.UNDECODABLE: "it does not decode",
    Reason.TOO_MANY_PIXELS: "more pixels than the limit",
    Reason.DECODER_CRASH: "the decoder crashed on it",
    Reason.DECODER_TIMEOUT: "decoding took too long",
    Reason.TOO_SMALL: "smaller than wanted",
    Reason.ASPECT: "too long and thin",
    Reason.HASH_MISMATCH: "other bytes than the list promised",
    Reason.PHASH_MISMATCH: "another picture than the list describes",
    Reason.SIZE_MISMATCH: "another width or height than the row says",
    Reason.NOT_A_VIDEO: "something else than a video came",
    Reason.NO_VIDEO_STREAM: "the file has no moving pictures",
    Reason.BROKEN_TAIL: "the end of the video is missing or does not decode",
    Reason.CUT_OUTSIDE: "the video ends before the piece that is wanted",
    Reason.TOO_LONG: "longer than the limit, in seconds",
    Reason.TOO_FEW_FRAMES: "the clip has too few frames for a trainer",
    Reason.BAD_BASE64: "the text in the picture's place is not Base64",
    Reason.NO_FILE: "the file that the row names is not there",
    Reason.NO_IMAGE: "the row holds no picture",
    Reason.BENCHMARK_PICTURE: "a picture of an evaluation set that is kept out",
    Reason.BENCHMARK_TEXT: "a question of an evaluation set that is kept out",
    Reason.DUPLICATE_PICTURE: "an earlier part of the mixture has its pictures",
    Reason.SAME_PICTURE: "a picture that many addresses answer with: a placeholder",
    Reason.TAIL: "in the last, incomplete shard",
    Reason.KILLED: "what worked on it was killed by others; memory may be short",
    Reason.INTERNAL_ERROR: "an error of ours",
}


def phase_of(reason: str) -> Phase:
    """The place of ``reason`` on the way between a chosen row and a shard; SELECTING is told by its stage."""
    if reason in _READING:
        return Phase.READING
    if reason in _CHECKING:
        return Phase.CHECKING
    return Phase.PACKING if reason in (Reason.TAIL, Reason.DUPLICATE_PICTURE) else Phase.FETCHING


def group_of(reason: str) -> LossGroup:
    """The kind of ``reason``, by what can be done about it; a reason of a newer version counts as one that stays."""
    if reason in OURS:
        return LossGroup.OURS
    if reason in TRANSIENT:
        return LossGroup.LATER
    if reason == Reason.NO_FILE:
        return LossGroup.MISSING
    return LossGroup.RULES if reason in _RULES else LossGroup.NEVER


def explained(reason: str) -> str:
    """``reason``, or an image's fate, in plain words; the word itself if it is of a newer version."""
    return _EXPLAINED.get(reason, reason)


def grouped(dropped: Mapping[str, int]) -> dict[LossGroup, dict[str, int]]:
    """Losses by group, each by falling number; groups without losses are left out."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    groups = {group: {r: n for r, n in ordered if n and group_of(r) is group} for group in LossGroup}
    return {group: reasons for group, reasons in groups.items() if reasons}
