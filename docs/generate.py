"""Writes the reference pages that are read off the code: ``python docs/generate.py``, or ``--check``."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import io
import pkgutil
import re
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path

import click

import gristmill
from gristmill import mixtures, recipes, steps
from gristmill.cli.main import cli
from gristmill.crawl.settings import CrawlSettings
from gristmill.ledger.losses import ADVICE, LossGroup, explained, group_of
from gristmill.media.settings import ImageSettings
from gristmill.spec import reasons
from gristmill.spec.barrier import Barrier, GlobalShuffle
from gristmill.spec.host_rule import HostRule
from gristmill.spec.locator import Cell, Embedded, File, Member, Url
from gristmill.spec.media_source import Download, MemberLayout
from gristmill.spec.mixture import Mixture, Part
from gristmill.spec.reasons import TRANSIENT, Reason
from gristmill.spec.recipe import Column, Expect, Recipe, Source, Variant
from gristmill.spec.sample import Drop, MediaRef, Origin, Sample, Show, Text, Turn
from gristmill.spec.step import Step, TableStep
from gristmill.steps.conversations.findings import families

REFERENCE = Path(__file__).parent / "reference"
SPEC = (
    Recipe,
    Source,
    Download,
    MemberLayout,
    Column,
    Variant,
    Expect,
    Sample,
    MediaRef,
    Url,
    Embedded,
    Member,
    Cell,
    File,
    Turn,
    Text,
    Show,
    Origin,
    Drop,
    HostRule,
    Mixture,
    Part,
)
"""What whoever writes a recipe builds."""
GIVERS = ("crawl", "media", "recipes", "run", "shards", "steps")
"""Folders whose code gives reasons; the others only count or explain them."""

UNDOCUMENTED = {
    "part_rows": "Most rows that one crawl task is given.",
    "total_s": "Seconds for one try of one URL, its redirects and its body included.",
    "verify_tls": "Refuse servers whose certificate does not verify.",
    "respect_opt_out": "Leave pictures alone whose `X-Robots-Tag` header says noai, noimageai, noml, noindex, "
    "noimageindex or none, or whose other headers, or the files asked for, reserve them (`TDM-Reservation: 1`, "
    "`Content-Usage: train-ai=n`, "
    "such lines of `robots`, `tdmrep`, `ai_txt`).",
    "codec_deadline_s": "Seconds after which a decoder is killed and its picture given up.",
}
"""Settings whose field has no sentence of its own in the code."""

NOTE = "<!-- Written by docs/generate.py: do not edit. -->\n\n"


def main() -> int:
    """Write the pages, or say which differ from the code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path])
        sys.stdout.write(f"{path.name}: {'out of date' if check else 'written'}\n")
    return 1 if check and stale else 0


def pages() -> dict[Path, str]:
    """Each generated page and its text."""
    made = {
        "checks.md": checks_page(),
        "cli.md": cli_page(),
        "reasons.md": reasons_page(),
        "settings.md": settings_page(),
        "spec.md": spec_page(),
    }
    return {REFERENCE / name: NOTE + text for name, text in made.items()}


# the command line


def cli_page() -> str:
    """All commands, from click."""
    parts = ["# Commands\n", _help(cli), "The commands in short:\n"]
    found = commands()
    parts.append(
        "".join(f"- [`{name}`](#gristmill-{name}): {_first_line(cmd)}\n" for name, cmd in found.items())
    )
    for name, command in found.items():
        parts += [f"## gristmill {name}\n", f"```text\n{_usage(name, command)}\n```\n", _help(command)]
        rows = [row for param in command.params if (row := _option_row(param))]
        if rows:
            parts.append("| option | what it does | default |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def commands() -> dict[str, click.Command]:
    """Commands by name, in the order of use."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def _first_line(command: click.Command) -> str:
    return (command.help or "").strip().split("\n\n")[0].replace("\n", " ")


def _usage(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"gristmill {name}")
    return " ".join([f"gristmill {name}", *command.collect_usage_pieces(context)])


def _help(command: click.Command) -> str:
    """The help text; paragraphs after click's no-wrap mark are examples, or else tables."""
    parts = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            _, first, *lines = paragraph.split("\n")
            language, shown = ("sh", lines) if first.startswith("Example") else ("text", [first, *lines])
            parts.append(f"```{language}\n" + textwrap.dedent("\n".join(shown)) + "\n```\n")
        else:
            parts.append(paragraph.replace("\n", " ") + "\n")
    return "\n".join(parts)


def _option_row(param: click.Parameter) -> str | None:
    if not isinstance(param, click.Option) or param.hidden:
        return None
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    if isinstance(param.type, click.Choice):
        names += " " + " \\| ".join(f"`{choice}`" for choice in param.type.choices)
    elif not param.is_flag:
        names += f" `{param.metavar or param.type.name.upper().replace(' RANGE', '')}`"
    names += " (may be repeated)" if param.multiple else ""
    said = getattr(param, "show_default", None)
    shown = isinstance(param.default, (str, int)) and not isinstance(param.default, bool)
    default = (
        f"`{param.default}`"
        if shown
        else f"`{said}`"
        if isinstance(said, str)
        else "required"
        if param.required
        else ""
    )
    return f"| {names} | {_cell(param.help or '')} | {default} |"


# checks


def checks_page() -> str:
    """The codes of ``gristmill check``, from the families of checks."""
    lines = [
        "# Checks of conversations\n",
        "What [`gristmill check FILE`](cli.md#gristmill-check) and the step `check` look for in each record, and "
        "what they do unless told otherwise: `keep` counts it, `fix` mends the record, `drop` leaves it out. "
        "`gristmill check --set CODE=keep|fix|drop` decides for a file, `--set check.keep=CODE,...` (`check.fix`, "
        "`check.drop`) for a recipe that has the step. A record that is to be mended and cannot be is dropped.\n",
        "What a trainer does is as read in or run with their releases of 2024 to 2026.\n",
    ]
    for family in families():
        title, _, rest = (family.__doc__ or "").strip().partition(": ")
        lines += [f"## {title.rstrip('.')}\n"] + ([f"{rest[0].upper()}{rest[1:]}\n"] if rest else [])
        lines += ["| code | what it finds | what comes of it | done | `fix` |", "|---|---|---|---|---|"]
        for check in family.CHECKS:
            mend = _cell(check.mend) if check.mend else "cannot be mended"
            where = f"reason `{check.reason}`" if not check.of_file else "in files alone"
            lines.append(
                f"| `{check.code}` | {_cell(check.says)} ({where}) | {_cell(check.why)} | {check.action} | {mend} |"
            )
        lines.append("")
    return "\n".join(lines)


# reasons


def reasons_page() -> str:
    """The closed list of reasons, with the comments of its source."""
    given, notes = _given(), _notes()
    lines = [
        "# Reasons\n",
        "Why a row, or one of its pictures, was not kept. The list is closed: a reason is never renamed and never "
        "gets a new meaning. It stands in the column `reason` of `fates/*.parquet`; what the server or the decoder "
        "said in its own words stands in `detail`.\n",
        "*Heals*: `transient` reasons are tried again within the run and are what `gristmill retry DIR` asks for "
        "by default. Any reason can be named with `gristmill retry DIR --reason REASON,...`. The word `timeout` "
        "stands for `deadline`, `stalled` and `connect_timeout`.\n",
        "*Kind*: what can be done about it.\n",
        *(f"- `{group.value}`: {ADVICE[group]}" for group in LossGroup),
    ]
    for title, members in _sections().items():
        lines += [
            f"\n## {title[0].upper()}{title[1:]}\n",
            "| reason | in words | exactly | heals | kind |",
            "|---|---|---|---|---|",
        ]
        for reason in members:
            exactly = notes.get(reason, "") if reason in given else "declared; no code gives it yet"
            heals = "transient" if reason in TRANSIENT else ""
            lines.append(
                f"| `{reason}` | {explained(reason)} | {_cell(exactly)} | {heals} | {group_of(reason).value} |"
            )
    return "\n".join(lines) + "\n"


def _comments(source: str) -> dict[int, tuple[str, bool]]:
    """By line: each comment, and whether it has the line to itself."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: (token.string.lstrip("# "), token.line.strip().startswith("#"))
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def members_of(source: str) -> list[tuple[str, str, str]]:
    """Members of the enums of a module: name, the comment line above it, and its own comment, however wrapped."""
    comments = _comments(source)
    found = []
    for node in ast.walk(ast.parse(source)):
        title, end = "", 0
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            lines = range(member.lineno, (member.end_lineno or member.lineno) + 1)
            above = [
                comments[line][0] for line in range(end + 1, member.lineno) if comments.get(line, ("", 0))[1]
            ]
            title, end = above[-1] if above else title, lines[-1]
            if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
                note = " ".join(comments[line][0] for line in lines if line in comments)
                found.append((member.targets[0].id, title, note))
    return found


def _sections() -> dict[str, list[Reason]]:
    """Reasons under the comment line above them."""
    found: dict[str, list[Reason]] = {}
    for name, title, _ in members_of(inspect.getsource(reasons)):
        if name in Reason.__members__:
            found.setdefault(title, []).append(Reason[name])
    return found


def _notes() -> dict[Reason, str]:
    """The comment behind a reason."""
    listed = members_of(inspect.getsource(reasons))
    return {Reason[name]: note for name, _, note in listed if name in Reason.__members__}


def _given() -> set[Reason]:
    """Reasons that some code gives."""
    package = Path(gristmill.__file__).parent
    files = [
        path for folder in GIVERS for path in (package / folder).rglob("*.py") if path.name != "sidecars.py"
    ]
    text = "\n".join(path.read_text() for path in files)
    return {reason for reason in Reason if re.search(rf"Reason\.{reason.name}\b", text)}


# settings of steps


def settings_page() -> str:
    """All fields of all steps."""
    lines = [
        "# Settings of the steps\n",
        "Give them with `--set STEP.FIELD=VALUE`; `none` is no value, lists are separated by commas. The defaults "
        "below are the steps' own: a recipe may choose others, and `gristmill show NAME` prints those that hold.\n",
        "*What* settings define the dataset: a folder that was begun with one value refuses to go on with another. "
        "*How* settings may differ from run to run and from machine to machine.\n",
    ]
    for step in step_classes():
        lines += [f"## {step.name}\n", _prose(step), ""]
        lines += [f"Used by: {', '.join(_users(step))}.\n"]
        lines += ["| field | type | default | what or how | meaning |", "|---|---|---|---|---|"]
        for f in (f for f in fields(step) if not f.name.startswith("_")):  # type: ignore[arg-type]
            default = (
                "required"
                if not isinstance(f.default, (str, int, float, tuple, type(None)))
                else _shown(f.default)
            )
            kind = "what" if f.metadata.get("identity", True) else "how"
            meaning = _cell(meaning_of(step, f.name))
            lines.append(
                f"| `{step.name}.{f.name}` | {_cell(str(f.type))} | {default} | {kind} | {meaning} |"
            )
        lines.append("")
    return "\n".join(lines)


def spec_page() -> str:
    """All fields of what a recipe or a mixture is made of."""
    lines = [
        "# What recipes are made of\n",
        "The dataclasses that a recipe, its `parse` and a mixture build.\n",
    ]
    for owner in SPEC:
        lines += [f"## {owner.__name__}\n", f"`{owner.__module__}`. {_prose(owner)}", ""]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        said = _attributes(owner)
        for f in fields(owner):  # type: ignore[arg-type]
            if f.default is not MISSING:
                default = _shown(f.default)
            elif f.default_factory is not MISSING:
                default = (
                    "empty" if not is_dataclass(made := f.default_factory()) else f"`{type(made).__name__}()`"
                )
            else:
                default = "required"
            lines.append(f"| `{f.name}` | {_cell(str(f.type))} | {default} | {_cell(said.get(f.name, ''))} |")
        lines.append("")
    return "\n".join(lines)


def step_classes() -> list[type[Step]]:
    """All steps, in the order in which they can stand in a recipe."""
    found = []
    for module in pkgutil.iter_modules(steps.__path__):
        loaded = importlib.import_module(f"{steps.__name__}.{module.name}")
        found += [
            member
            for member in vars(loaded).values()
            if inspect.isclass(member)
            and issubclass(member, Step)
            and is_dataclass(member)
            and member.__module__ == loaded.__name__
        ]
    return sorted(
        found,
        key=lambda s: (not issubclass(s, TableStep), issubclass(s, Barrier | GlobalShuffle), s.__name__),
    )


def _users(step: type[Step]) -> list[str]:
    """Recipes in which a step stands."""
    found = {f"`{name}`": recipes.find(name) for name in recipes.names()}
    found["any list (`gristmill crawl`)"] = recipes.load("crawl", {"path": "urls.txt"})
    found |= {f"mixture `{name}`": mixtures.load(name) for name in mixtures.names()}
    found["VILA's pickles (`gristmill import`)"] = recipes.load("import", {"path": "pickles"})
    return [name for name, recipe in found.items() if any(type(s) is step for s in recipe.steps)]


def meaning_of(step: type[Step], name: str) -> str:
    """The sentence about a setting: the step's own, or of the settings that it passes on."""
    own = [_attributes(cls) for cls in step.__mro__ if is_dataclass(cls)]
    for said in (*own, _attributes(ImageSettings), _field_docs(CrawlSettings), UNDOCUMENTED):
        if name in said:
            return said[name]
    raise KeyError(f"{step.name}.{name} has no sentence: document it where it is declared")


def _prose(step: type) -> str:
    prose = inspect.cleandoc(step.__doc__ or "").partition("\nAttributes:")[0].replace("``", "`").strip()
    return re.sub(r":class:`[\w.]*?(\w+)`", r"`\1`", prose)


def _attributes(owner: type) -> dict[str, str]:
    """``Attributes:`` of a Google-style docstring; ``a, b: text`` stands for both."""
    section = inspect.cleandoc(owner.__doc__ or "").partition("\nAttributes:\n")[2]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(section).strip()):
        names, _, text = entry.partition(":")
        for name in names.split(","):
            found[name.strip()] = " ".join(text.split())
    return found


@cache
def _field_docs(owner: type) -> dict[str, str]:
    """Strings that stand below the fields of a dataclass."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return dict(_documented(tree))


def _documented(tree: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            yield statement.target.id, " ".join(str(after.value.value).split())


def _shown(value: object) -> str:
    if value is None:
        return "`none`"
    if isinstance(value, tuple):
        return f"`{','.join(map(str, value))}`" if value else "empty"
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    sys.exit(main())
