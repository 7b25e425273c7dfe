"""The child process that fetches one video with yt-dlp: one line of JSON in, lines of JSON out.

It reads no configuration file, loads no plugin, starts no other program than a JavaScript runtime, and makes no way
round what a site refuses to a country. A guard stands behind all that Python opens: no connection goes to an address
that is not public, whatever a page names or leads to. Where a proxy is given it is the proxy that connects.

In: ``page``, ``folder`` and the fields of :class:`gristmill.crawl.sites.settings.SiteSettings`. Out: now and then
``{"bytes": N}``; in the end ``{"files": NAMES, "format": ID, "height": PIXELS}`` (one file, or the picture and its
sound), or ``{"refused": SAID}`` with the fields of :class:`gristmill.crawl.sites.refusals.Said`, or, where the child
itself refused, ``{"reason": REASON, "text": WORDS}``.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.cookiejar import LoadError
from pathlib import Path
from typing import Any

from gristmill.crawl.addresses import is_public

__all__ = ["Guard", "fetched", "guarding", "main", "tell"]

_RUNTIMES = frozenset({"deno", "node", "bun", "qjs"})
_TELL_EVERY_S = 1.0
_MOST_TEXT = 2_000
_MOST_WARNINGS = 20
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTS = frozenset({"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile"})
_EXPLICIT_NO_PROXY = ""


class _TooLarge(Exception):
    """More came than is allowed."""


class Guard:
    """Refuses connections to addresses that are not public, and programs that are no JavaScript runtime.

    Attributes:
        refused: The first address that was refused.
    """

    def __init__(self, *, addresses: bool) -> None:
        self._addresses = addresses
        self.refused = ""

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """See :func:`sys.addaudithook`; what it raises ends what was about to happen."""
        if event in _CONNECTS and self._addresses:
            self._check(args[1] if len(args) > 1 else None)
        elif event == "subprocess.Popen":
            program = args[0] if isinstance(args[0], str) else os.fsdecode(args[0] or b"")
            if Path(program).name not in _RUNTIMES:
                raise FileNotFoundError(f"{program} is not started")
        elif event in _STARTS:
            raise PermissionError(f"{event} is not allowed here")

    def _check(self, address: Any) -> None:
        if not isinstance(address, tuple) or not address:
            return  # a Unix socket, or one that is connected already
        host = str(address[0])
        try:
            public = is_public(host)
        except (ValueError, OSError):
            public = False
        if not public:
            self.refused = self.refused or host
            raise PermissionError(f"{host} is not a public address")


def guarding(*, addresses: bool) -> Guard:
    """Put a guard behind all that this process opens; it cannot be taken away again."""
    guard = Guard(addresses=addresses)
    sys.addaudithook(guard)
    return guard


class _Log:
    """Takes what yt-dlp says; keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, text: str) -> None:
        """Passed over."""

    def info(self, text: str) -> None:
        """Passed over."""

    def warning(self, text: str) -> None:
        """Kept."""
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(_plain(text)[:300])

    def error(self, text: str) -> None:
        """Passed over: it is raised as well."""


def main() -> None:
    """Fetch the video that the first line of the input asks for; end when the input ends."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tell(**fetched(asked))
    sys.stdout.flush()
    os._exit(0)  # whatever threads of a download may still wait for


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def tell(**told: Any) -> None:
    """Write one line for the parent."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def fetched(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch one video; returns the last line."""
    os.environ["YTDLP_NO_PLUGINS"] = "1"
    sys.modules["curl_cffi"] = None  # type: ignore[assignment]  # it would connect past the guard
    import yt_dlp
    from yt_dlp.globals import plugin_dirs
    from yt_dlp.utils import YoutubeDLError

    plugin_dirs.value = []
    guard = guarding(addresses=asked["proxy"] is None and not asked["allow_private_addresses"])
    log = _Log()
    in_page = True
    folder = Path(asked["folder"])
    try:
        if asked["cookies"] is not None:
            yt_dlp.cookies.YoutubeDLCookieJar(_text(asked["cookies"])).load()
        with yt_dlp.YoutubeDL(_options(asked, folder, log)) as ydl:
            runtime = any(one and one.info and one.info.supported for one in ydl._js_runtimes.values())
            try:
                info = _only(ydl.extract_info(asked["page"], download=False))
                if isinstance(info, str):
                    return {"reason": "no_format", "text": info}
                if info.get("live_status") in ("is_live", "is_upcoming"):
                    return {"reason": "video_not_yet", "text": f"the page is {info['live_status']}"}
                in_page = False
                files: list[str] = []
                for part in _parts(info):
                    ydl.process_info(part)
                    name = _written(part, folder)
                    if name is None:
                        return _nothing(part)
                    files.append(name)
            except _TooLarge as err:
                return {"reason": "too_large", "text": str(err)}
            except (YoutubeDLError, OSError, ValueError) as err:
                too_large = next((one for one in _chain(err) if isinstance(one, _TooLarge)), None)
                if too_large is not None:
                    return {"reason": "too_large", "text": str(too_large)}
                if guard.refused:
                    return {"reason": "private_address", "text": f"it leads to {guard.refused}"}
                return {"refused": _said(err, log, runtime=runtime, in_page=in_page)}
            return {
                "files": files,
                "format": str(info.get("format_id", ""))[:60],
                "height": info.get("height"),
                "site": str(info.get("extractor_key", ""))[:60],
            }
    except (LoadError, UnicodeDecodeError):
        return {"reason": "cookies", "text": f"{asked['cookies']} is no file of cookies in Netscape's format"}


def _text(path: str) -> io.StringIO:
    """What is in a file, to be read as one: yt-dlp would write cookies back into the file itself."""
    return io.StringIO(Path(path).read_text("utf-8"))


def _options(asked: Mapping[str, Any], folder: Path, log: _Log) -> dict[str, Any]:
    """What yt-dlp is to do; see ``yt_dlp.YoutubeDL``."""
    return {
        "quiet": True,
        "noprogress": True,
        "logger": log,
        "color": "never",
        "format": _format(asked["height_px"], audio=asked["audio"]),
        "format_sort": ["res", "vcodec:h264", "ext", *([] if asked["audio"] else ["+hasaud"])],
        "noplaylist": True,
        "playlist_items": "1:2",  # one more tells that there are several
        "default_search": "error",
        "outtmpl": {"default": "%(format_id).40S.%(ext)s"},
        "paths": {"home": str(folder)},
        "restrictfilenames": True,
        "windowsfilenames": True,
        "trim_file_name": 80,
        "overwrites": False,
        "continuedl": True,
        "updatetime": False,
        "cachedir": False,
        "fixup": "never",
        "hls_prefer_native": True,
        "external_downloader": {},
        "skip_unavailable_fragments": False,
        "concurrent_fragment_downloads": 1,
        "socket_timeout": 30,
        "retries": 3,
        "fragment_retries": 3,
        "extractor_retries": 1,
        "ratelimit": asked["rate_bytes_s"] or None,
        "sleep_interval_requests": asked["sleep_s"],
        "cookiefile": None if asked["cookies"] is None else _text(asked["cookies"]),
        "proxy": _EXPLICIT_NO_PROXY if asked["proxy"] is None else asked["proxy"],
        "nocheckcertificate": not asked["verify_tls"],
        "geo_bypass": False,
        "enable_file_urls": False,
        "js_runtimes": {"deno": {}, "node": {}, "bun": {}, "quickjs": {}},
        "progress_hooks": [_progress(asked["max_body_bytes"])],
        "warn_when_outdated": False,
    }


def _format(height_px: int, *, audio: bool) -> str:
    """Formats in order of preference; ``A+B`` is a picture and its sound, where a site has them only apart."""
    low = f"[height<=?{height_px}]"
    if audio:
        return f"bv*{low}+ba/b{low}/bv*{low}/wv*+ba/wb/wv*"
    return f"bv*{low}/b{low}/wb/wv*"


def _progress(most_bytes: int) -> Any:
    told_at = 0.0

    def hook(status: Mapping[str, Any]) -> None:
        nonlocal told_at
        have = status.get("downloaded_bytes") or 0
        announced = status.get("total_bytes") or 0
        if max(have, announced) > most_bytes:
            raise _TooLarge(f"{max(have, announced):,} bytes, {most_bytes:,} allowed")
        if time.monotonic() - told_at >= _TELL_EVERY_S:
            told_at = time.monotonic()
            tell(bytes=int(have))

    return hook


def _only(info: Any) -> Any:
    """The one video of a page, or in words why there is none."""
    while info is not None and info.get("_type") in ("playlist", "multi_video"):
        entries = [entry for entry in info.get("entries") or () if entry]
        if len(entries) != 1:
            return f"the page shows {'several videos' if entries else 'no video'}"
        info = entries[0]
    return "the page shows no video" if info is None else info


def _parts(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List what to download: one format, or a picture and its sound, which yt-dlp would merge by starting ffmpeg."""
    alone = {key: value for key, value in info.items() if key != "requested_formats"}
    parts: list[dict[str, Any]] = info.get("requested_formats") or [{}]
    return [{**alone, **part} for part in parts]


def _written(info: Mapping[str, Any], folder: Path) -> str | None:
    """The file that was written, under a name that says that it is whole."""
    names = [one.get("filepath") for one in info.get("requested_downloads") or ()] + [info.get("filepath")]
    path = next((Path(name) for name in names if name and Path(name).is_file()), None)
    if path is None:
        whole = [one for one in sorted(folder.iterdir()) if _is_media(one)]
        path = whole[0] if len(whole) == 1 else None
    return None if path is None else path.name


def _nothing(info: Mapping[str, Any]) -> dict[str, Any]:
    """Say that no file was written: yt-dlp leaves out what is announced as too large without an error."""
    size = info.get("filesize") or info.get("filesize_approx")
    said = f"nothing was written{f', of {size:,} bytes announced' if size else ''}"
    return {"reason": "too_large" if size else "no_format", "text": said}


def _is_media(path: Path) -> bool:
    return (
        path.is_file()
        and path.suffix not in {".part", ".ytdl", ".json", ".lock"}
        and ".part-" not in path.name
    )


def _said(err: BaseException, log: _Log, *, runtime: bool, in_page: bool) -> dict[str, Any]:
    chain = list(_chain(err))
    statuses = [getattr(one, "status", None) for one in chain]
    return {
        "text": _plain(str(err))[:_MOST_TEXT],
        "kinds": [type(one).__name__ for one in chain],
        "status": next((one for one in statuses if isinstance(one, int)), None),
        "warnings": log.warnings,
        "runtime": runtime,
        "in_page": in_page,
    }


def _chain(err: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, each once."""
    seen: list[BaseException] = []
    left: list[Any] = [err]
    while left:
        one = left.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            info = getattr(one, "exc_info", None)
            left += [info[1] if isinstance(info, tuple) and len(info) > 1 else None]
            left += [getattr(one, "cause", None), one.__cause__, one.__context__]


def _plain(text: str) -> str:
    return _COLOUR.sub("", text).removeprefix("ERROR: ").strip()
