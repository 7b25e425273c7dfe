"""The closed list of reasons why an upstream row, or one of its media, was not kept.

A reason is part of the record format: values are never renamed or given a new meaning, only added.
What a server or a decoder said in its own words goes to a separate, length-capped ``detail`` field.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["GONE", "NO_PICTURE", "NO_VIDEO", "OURS", "PERMANENT", "SITE", "TRANSIENT", "WEB", "Reason"]


class Reason(StrEnum):
    """Why a row or a medium was dropped. The text of each member is what lies in ``fates``."""

    # rows, before any request
    BAD_ROW = "bad_row"  # not parseable, or a value of the wrong type
    ROW_TOO_LONG = "row_too_long"  # a line beyond the reader's cap
    NO_SCORE = "no_score"  # a score column is null or not a number
    BELOW_FLOOR = "below_floor"  # score does not pass the floor
    BEYOND_SHARE = "beyond_share"  # passes the floor, is not among the best share
    NOT_SAMPLED = "not_sampled"  # not among the evenly spaced rows
    NOT_CHOSEN = "not_chosen"  # outside --only N
    LEFT_OUT = (
        "left_out"  # of a split, or a language, that is not meant; or one too many of those that are alike
    )
    EMPTY_TEXT = "empty_text"
    EMPTY_QUESTION = "empty_question"
    EMPTY_ANSWER = "empty_answer"
    TEXT_TOO_LONG = "text_too_long"  # a question or an answer beyond the step's limit
    BAD_CHARACTERS = "bad_characters"  # NUL or a lone surrogate
    MEDIA_TOKEN = "media_token"  # a literal <image> or <video> in a text
    BAD_TURNS = (
        "bad_turns"  # roles that no trainer takes in this order, or nothing asked, or nothing answered
    )
    TAG_MISMATCH = "tag_mismatch"  # tags or parts that show media against the media themselves
    CONTROL_TEXT = "control_text"  # a control string of a trainer's template in a text
    MOJIBAKE = "mojibake"  # UTF-8 that was read as another encoding
    FILE_ID = "file_id"  # the name of the record's own file in a text
    TEXT_REPEATS = "text_repeats"  # an answer that says the same again and again
    TEXT_CUT_OFF = "text_cut_off"  # an answer that ends within a sentence
    BAD_PATH = "bad_path"  # of a medium: it leads out of its folder, or is no path
    BAD_BOX = "bad_box"  # outside the picture, or its sides in the wrong order
    FEW_IMAGES = "few_images"  # a document without images, or with fewer than it must have
    DUPLICATE_KEY = "duplicate_key"

    # a document's image
    NOT_NEEDED = "not_needed"  # not asked for: one before it was lost, and the document with it

    # the address
    BAD_URL = "bad_url"
    BAD_SCHEME = "bad_scheme"
    BAD_PORT = "bad_port"
    PRIVATE_ADDRESS = "private_address"

    # name lookup, connection, TLS
    DNS_NOT_FOUND = "dns_not_found"  # the name does not exist
    DNS_FAILED = "dns_failed"  # the lookup failed or timed out
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"

    # the exchange
    DEADLINE = "deadline"  # the total time for this URL is used up
    STALLED = "stalled"  # no bytes for too long
    RESET = "reset"  # connection closed or reset in the middle
    SHORT_BODY = "short_body"  # fewer bytes than announced, or chunking cut off
    TOO_LARGE = "too_large"  # body beyond the limit
    BOMB = "bomb"  # compressed body beyond the limit, or nested encodings
    BAD_HTTP = "bad_http"  # not an HTTP answer one may trust
    COSTLY = "costly"  # its host's answers cost far more processor time than their size explains
    REDIRECTS = "redirects"  # too many, or a loop, or no usable target
    HTTP_404 = "http_404"
    HTTP_410 = "http_410"
    HTTP_403 = "http_403"
    HTTP_451 = "http_451"
    HTTP_429 = "http_429"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    HTTP_OTHER = "http_other"

    # a video site's word on a video, or on us
    VIDEO_GONE = "video_gone"  # removed, or never there
    VIDEO_PRIVATE = "video_private"
    VIDEO_LOGIN = "video_login"  # for those who are logged in
    VIDEO_AGE = "video_age"  # for those who have shown their age
    VIDEO_REGION = "video_region"  # not in this country
    VIDEO_MEMBERS = "video_members"  # for members, or those who pay
    VIDEO_NOT_YET = "video_not_yet"  # it is live, or yet to come
    BOT_CHECK = "bot_check"  # the site takes us for a robot
    NO_RUNTIME = "no_runtime"  # the site gives no video without a JavaScript runtime, and there is none
    NO_FORMAT = "no_format"  # the page shows no video that can be taken, or several
    SITE_REFUSED = "site_refused"  # for another reason, which the detail says

    # consent
    OPTED_OUT = "opted_out"
    ROBOTS = "robots"

    # the bytes
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"  # HTML, JSON, SVG, or nothing known
    UNSUPPORTED = "unsupported"  # an image format outside the allow-list
    TRUNCATED = "truncated"  # more is missing than the end mark of a JPEG or PNG that is stored anew
    UNDECODABLE = "undecodable"
    TOO_MANY_PIXELS = "too_many_pixels"  # as it came, or as it would be stored
    DECODER_CRASH = "decoder_crash"
    DECODER_TIMEOUT = "decoder_timeout"
    TOO_SMALL = "too_small"
    ASPECT = "aspect"
    HASH_MISMATCH = "hash_mismatch"  # checksum differs from the list's
    PHASH_MISMATCH = "phash_mismatch"  # perceptual hash further than allowed
    SIZE_MISMATCH = "size_mismatch"  # another width or height than the row says
    NOT_A_VIDEO = "not_a_video"  # a page, a playlist, a picture, or no container that is read
    NO_VIDEO_STREAM = "no_video_stream"  # sound alone, or a cover picture
    BROKEN_TAIL = "broken_tail"  # it ends before its container says, or its last frames do not decode
    CUT_OUTSIDE = "cut_outside"  # the piece that is wanted lies beyond the video's end
    TOO_LONG = "too_long"  # seconds beyond the step's limit
    TOO_FEW_FRAMES = "too_few_frames"  # fewer than the step's least: trainers skip or fail on so short a clip
    SAME_PICTURE = "same_picture"  # many unlike URLs were answered with this picture

    BENCHMARK_PICTURE = "benchmark_picture"  # a picture of an evaluation set
    BENCHMARK_TEXT = "benchmark_text"  # a question of an evaluation set

    # a body within the annotation row
    BAD_BASE64 = "bad_base64"  # the text in the picture's place is not Base64
    NO_FILE = "no_file"  # the file that the row names is not there, or not where it may be
    NO_IMAGE = "no_image"  # a row about a picture that holds none

    # mixing
    DUPLICATE_PICTURE = "duplicate_picture"  # an earlier part of the mixture has all of its media

    # packing
    TAIL = "tail"  # last, incomplete shard, dropped on request

    # us
    KILLED = "killed"  # what worked on it was killed by others, again and again
    INTERNAL_ERROR = "internal_error"


TRANSIENT: frozenset[Reason] = frozenset(
    {
        Reason.DNS_FAILED,
        Reason.CONNECT_FAILED,
        Reason.CONNECT_TIMEOUT,
        Reason.DEADLINE,
        Reason.STALLED,
        Reason.RESET,
        Reason.SHORT_BODY,
        Reason.HTTP_429,
        Reason.HTTP_5XX,
        Reason.VIDEO_NOT_YET,
        Reason.BOT_CHECK,
        Reason.NO_RUNTIME,
        Reason.KILLED,
    }
)
"""Worth asking again: within the run a bounded number of times, and later by ``gristmill retry``."""

PERMANENT: frozenset[Reason] = frozenset(
    {Reason.HTTP_404, Reason.HTTP_410, Reason.HTTP_403, Reason.HTTP_451, Reason.DNS_NOT_FOUND}
)
"""The upstream said no, and asking again soon will not change it."""

NO_PICTURE: frozenset[Reason] = frozenset(
    {
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED,
        Reason.TRUNCATED,
        Reason.UNDECODABLE,
        Reason.TOO_MANY_PIXELS,
        Reason.DECODER_CRASH,
        Reason.DECODER_TIMEOUT,
    }
)
"""Bytes came, and the decoders make no picture of them."""

NO_VIDEO: frozenset[Reason] = (NO_PICTURE - {Reason.NOT_AN_IMAGE}) | {
    Reason.NOT_A_VIDEO,
    Reason.NO_VIDEO_STREAM,
    Reason.BROKEN_TAIL,
    Reason.CUT_OUTSIDE,
    Reason.TOO_LONG,
    Reason.TOO_FEW_FRAMES,
}
"""Bytes came, and no video or no clip is made of them."""

GONE: frozenset[Reason] = frozenset({Reason.HTTP_404, Reason.HTTP_410, Reason.DNS_NOT_FOUND})
"""No longer there: what a mirror is asked for. A refusal (403, 451, an opt-out, robots.txt) is not: nobody's no is
got round by way of a mirror."""

SITE: frozenset[Reason] = frozenset(
    {
        Reason.VIDEO_GONE,
        Reason.VIDEO_PRIVATE,
        Reason.VIDEO_LOGIN,
        Reason.VIDEO_AGE,
        Reason.VIDEO_REGION,
        Reason.VIDEO_MEMBERS,
        Reason.VIDEO_NOT_YET,
        Reason.BOT_CHECK,
        Reason.NO_RUNTIME,
        Reason.NO_FORMAT,
        Reason.SITE_REFUSED,
    }
)
"""What a video site says, beside what any host on the web may."""

OURS: frozenset[Reason] = frozenset({Reason.DNS_FAILED, Reason.CONNECT_FAILED, Reason.INTERNAL_ERROR})
"""Reasons that may be our own network's or machine's fault when they come in a row."""

WEB: frozenset[Reason] = frozenset(
    {
        Reason.BAD_URL,
        Reason.BAD_SCHEME,
        Reason.BAD_PORT,
        Reason.PRIVATE_ADDRESS,
        Reason.DNS_NOT_FOUND,
        Reason.DNS_FAILED,
        Reason.CONNECT_FAILED,
        Reason.CONNECT_TIMEOUT,
        Reason.TLS,
        Reason.DEADLINE,
        Reason.STALLED,
        Reason.RESET,
        Reason.SHORT_BODY,
        Reason.TOO_LARGE,
        Reason.BOMB,
        Reason.BAD_HTTP,
        Reason.COSTLY,
        Reason.REDIRECTS,
        Reason.HTTP_404,
        Reason.HTTP_410,
        Reason.HTTP_403,
        Reason.HTTP_451,
        Reason.HTTP_429,
        Reason.HTTP_4XX,
        Reason.HTTP_5XX,
        Reason.HTTP_OTHER,
        Reason.OPTED_OUT,
        Reason.ROBOTS,
        Reason.EMPTY,
        Reason.INTERNAL_ERROR,
    }
)
"""Why a URL brings no body: its address, the way to it, the exchange, or its owner's wish."""
