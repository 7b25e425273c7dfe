"""The error tree. Every message says what, where, and what to type next.

GristmillError                 exit 1
├── UsageError                 exit 2   wrong words on the command line, or a setting that cannot be
│   ├── UnknownName            exit 2   no such recipe, step, setting or file format
│   └── DriftError             exit 2   what lies in DIR was made by other settings
├── RecipeError                exit 2   a recipe that cannot work, found before anything moves
├── SourceError                exit 1   an upstream that cannot be read as promised
│   ├── AccessError            exit 1   gated, private, or a missing token
│   ├── DamagedSource          exit 1   an annotation file that is there and cannot be read
│   └── ByHandSource           exit 3   a person must fetch it first
├── DamagedOutput              exit 1   bytes on disk that differ from their record
│   └── DamagedPart            exit 1   those of a part that a mixture reads in place
├── MachineError               exit 1   disk full, no permission: stop, nothing finished is lost
├── OursNotTheirs              exit 3   the breaker: our network or name service is down
│   └── SiteShut               exit 3   a video site takes us for a robot, or wants to be asked less
├── TaskFailed                 exit 1   one task failed, with its cause
├── Incomplete                 exit 3   finished below the expected completeness, or resumable
├── Busy                       exit 75  another run holds what is needed
├── Stopped                    exit 3    within a worker: the task was asked to stop
└── Interrupted                exit 130 / 143

All survive pickling: their constructor arguments are plain data and are what ``args`` holds.
"""

from __future__ import annotations

import time

__all__ = [
    "AccessError",
    "Busy",
    "ByHandSource",
    "DamagedOutput",
    "DamagedPart",
    "DamagedSource",
    "DriftError",
    "GristmillError",
    "Incomplete",
    "Interrupted",
    "MachineError",
    "OursNotTheirs",
    "RecipeError",
    "SiteShut",
    "SourceError",
    "Stopped",
    "TaskFailed",
    "UnknownName",
    "UsageError",
]


class GristmillError(Exception):
    """Root of all errors that Gristmill raises on purpose; ``str()`` is fit for a terminal."""

    exit_code: int = 1
    told: str = ""
    """What to say in its place where a person has read it already, as what went wrong with a task of many."""


class UsageError(GristmillError):
    """Wrong use: found before anything is read or written."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing answers to; says what was meant, if something is close."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(kind, name, known)
        self.kind, self.name, self.known = kind, name, known

    def __str__(self) -> str:
        import difflib

        close = difflib.get_close_matches(self.name, self.known, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        short = len(self.known) <= 30 or not close  # a long list is no help beside the name that was meant
        listing = f" Known: {', '.join(self.known)}." if self.known and short else ""
        return f"There is no {self.kind} {self.name!r}.{hint}{listing}"


class DriftError(UsageError):
    """The folder was begun with other settings, another recipe or other inputs."""

    def __init__(self, name: str, where: str, differences: tuple[tuple[str, str, str], ...]) -> None:
        super().__init__(name, where, differences)
        self.name, self.where, self.differences = name, where, differences
        self.hint = ""

    def __str__(self) -> str:
        width = max((len(field) for field, _, _ in self.differences), default=0)
        lines = "\n".join(f"  {field:<{width}}  was {was}   is {now}" for field, was, now in self.differences)
        back = "Put the value back to continue it"
        if any(field == "version" or field.endswith(".revision") for field, _, _ in self.differences):
            back = "It was begun with another version of Gristmill, or of the recipe: continue it with that"
        return (
            f"{self.name} in {self.where} was begun otherwise, and will not be mixed:\n{lines}\n"
            f"{back}, or choose another folder with --out to build the new one.{self.hint}"
        )


class RecipeError(GristmillError):
    """A recipe that contradicts itself."""

    exit_code = 2


class SourceError(GristmillError):
    """An upstream, or a local copy of one, that cannot be read as promised."""


class DamagedSource(SourceError):
    """An annotation file that is there, as it was found, and cannot be read."""


class AccessError(SourceError):
    """The upstream exists but does not let us in: terms to accept, or a token to give."""


class ByHandSource(SourceError):
    """A source that only a person can fetch."""

    exit_code = 3


class DamagedOutput(GristmillError):
    """Bytes on disk that are not what their record says."""


class DamagedPart(DamagedOutput):
    """A shard of a mixture's part that is gone, or not what it was when it was mixed; the mixture is whole."""


class MachineError(GristmillError):
    """Disk full, read-only, no permission, out of memory: not the data's fault."""


class OursNotTheirs(GristmillError):
    """Too many failures in a row that look like our own network's fault; the run stops."""

    exit_code = 3


class SiteShut(OursNotTheirs):
    """A video site is not to be asked for now; the run stops, and no video is lost by it.

    Args:
        site: Its name.
        until_s: Unix time before which it is not asked; 0 where time alone does not help.
        said: What it said, or what is missing here; empty where it was not asked.
    """

    def __init__(self, site: str, until_s: float, said: str = "") -> None:
        super().__init__(site, until_s, said)
        self.site, self.until_s, self.said = site, until_s, said

    def __str__(self) -> str:
        if not self.until_s:
            return (
                f"{self.site} gives no video to this machine. {self.said} Then give the same command again."
            )
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.until_s))
        said = f" It said: {self.said}" if self.said else ""
        return (
            f"{self.site} is left alone until {when}: it takes us for a robot, or is asked too much.{said}\n"
            "No video is lost by it. Give the same command again then; cookies of somebody who is logged in, or a "
            "longer pause between videos, may help."
        )


class TaskFailed(GristmillError):
    """One task could not be done; the others are unharmed."""


class Incomplete(GristmillError):
    """Done as far as possible, and less than expected."""

    exit_code = 3


class Busy(GristmillError):
    """Another run works on the same folder."""

    exit_code = 75


class Stopped(GristmillError):
    """A task was asked to stop; what it finished so far is kept."""

    exit_code = 3


class Interrupted(GristmillError):
    """Stopped by a signal; what is finished is kept and the same command goes on."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number

    def __str__(self) -> str:
        return "Stopped. Everything finished is kept; the same command continues."
