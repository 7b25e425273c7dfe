"""The documents say what the code does: commands, options, settings, reasons, links, examples."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from gristmill import mixtures, recipes
from gristmill.cli.main import cli
from gristmill.ledger.fates import FATES_SCHEMA
from gristmill.run.maintenance.reopen import reasons_from
from gristmill.run.planning.pipeline import Pipeline
from gristmill.run.stages._samples import INDEX_SCHEMA
from gristmill.shards.sidecars import SIDECAR_SCHEMA
from gristmill.spec.errors import GristmillError
from gristmill.spec.reasons import Reason
from gristmill.spec.sample import Drop, Sample

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*DOCS.rglob("*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
)
BY_HAND = [page for page in PAGES if page.parent != DOCS / "reference" or page.name == "files.md"]
IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()
COMMANDS: dict[str, click.Command] = GENERATOR.commands()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def shell_lines(text: str) -> Iterator[str]:
    """Lines of shell blocks that call gristmill, continuation lines joined, comments and prompts cut."""
    for language, body in FENCE.findall(text):
        if language in {"sh", "bash", "console", "shell"}:
            for line in body.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                if words[:2] == ["sbatch", "gristmill.sh"]:  # the script hands on what follows it
                    words[:2] = ["gristmill"]
                if "gristmill" in words:
                    yield shlex.join(words[words.index("gristmill") :])


def inline_calls(text: str) -> Iterator[str]:
    """``gristmill COMMAND ...`` between backticks."""
    prose = FENCE.sub("", text)
    yield from (call for call in re.findall(r"`(gristmill [a-z][^`]*)`", prose))


def calls_in(page: Path) -> list[str]:
    text = text_of(page)
    return list(dict.fromkeys([*shell_lines(text), *inline_calls(text)]))


def problems_of(call: str) -> list[str]:
    """What is wrong with a command line, by click's own parameters."""
    words = shlex.split(call)[1:]
    if not words or words[0] in {"--help", "-h", "--version", "-V", "$@"}:
        return []
    if words[0] not in COMMANDS:
        return [f"no command {words[0]}"]
    options = {
        name: param
        for param in COMMANDS[words[0]].params
        if isinstance(param, click.Option)
        for name in (*param.opts, *param.secondary_opts)
    }
    found = []
    for at, word in enumerate(words[1:], start=1):
        name, equals, value = word.partition("=")
        if not name.startswith("-") or name == "--help":
            continue
        if name not in options:
            found.append(f"{words[0]} has no option {name}")
            continue
        value = value if equals else words[at + 1] if at + 1 < len(words) else ""
        found += value_problems(words[1], options[name], value)
    return found


def value_problems(target: str, option: click.Option, value: str) -> list[str]:
    """Choices by click; reasons and settings by the code that reads them, which raises."""
    if isinstance(option.type, click.Choice):
        known = value in option.type.choices or value.isupper() or value.endswith(".py")
        return [] if known else [f"{option.name}: {value}"]
    if option.name == "reason":
        words = [word for word in value.split(",") if word not in {"R", "REASON", "..."}]
        reasons_from(",".join(words) or "transient")
    if option.name == "settings" and "." in value and not value.isupper():
        key, _, text = value.partition("=")
        if target in mixtures.names():
            mixtures.load(target, {key: text} if key.count(".") == 1 else {})
            return []
        for member in recipes.groups().get(target, ()):
            recipes.load(member, None, {key: text})
        if target in recipes.groups():
            return []
        reference, arguments = (
            (target, None) if target in recipes.names() else ("crawl", {"path": "urls.txt"})
        )
        recipes.load(reference, arguments, {key: text})
    return []


def test_a_reason_keeps_its_comment_however_it_is_wrapped() -> None:
    source = """
class Reason(StrEnum):
    # of hosts
    A = "a"  # short
    B = (
        "b"  # long, so that
        # it takes two lines
    )
    C = "c"
    # of files
    D = "d"  # last
"""
    assert GENERATOR.members_of(source) == [
        ("A", "of hosts", "short"),
        ("B", "of hosts", "long, so that it takes two lines"),
        ("C", "of hosts", ""),
        ("D", "of files", "last"),
    ]


def test_generated_pages_equal_the_code() -> None:
    stale = [path.name for path, text in GENERATOR.pages().items() if text_of(path) != text]
    assert not stale, f"{stale}: run `python docs/generate.py`"


def test_every_setting_has_a_sentence() -> None:
    said = {
        f"{step.name}.{name}": GENERATOR.meaning_of(step, name)
        for step in GENERATOR.step_classes()
        for name in step.__dataclass_fields__
        if not name.startswith("_")
    }
    assert len(said) > 30
    assert [name for name, text in said.items() if not text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_a_true_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    example = result.output.partition("Example:")[2]
    lines = [line.strip() for line in example.splitlines() if line.strip().startswith("gristmill ")]
    assert lines, f"gristmill {name} --help has no example"
    assert all(line.startswith(f"gristmill {name}") for line in lines)
    assert [problem for line in lines for problem in problems_of(line)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_in_a_page_by_hand(name: str) -> None:
    assert f"gristmill {name}" in text_of(ROOT / "README.md")
    assert any(f"gristmill {name}" in text_of(page) for page in BY_HAND if page.parent != ROOT)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_command_lines_use_what_exists(page: Path) -> None:
    for call in calls_in(page):
        try:
            found = problems_of(call)
        except GristmillError as err:
            found = [str(err)]
        assert found == [], call


def test_command_lines_were_found() -> None:
    assert sum(len(calls_in(page)) for page in PAGES) > 60


def test_a_wrong_command_line_is_noticed() -> None:
    assert problems_of("gristmill runn coyo-700m")
    assert problems_of("gristmill run coyo-700m --nothing")
    assert problems_of("gristmill export DIR --to parquet --out x")
    with pytest.raises(Exception, match="no setting"):
        problems_of("gristmill run coyo-700m --out x --set crawl.size=3")
    with pytest.raises(Exception, match="There is no reason"):
        problems_of("gristmill retry DIR --reason http_4044")


def test_every_reason_is_explained() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", text_of(DOCS / "reference" / "reasons.md"), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(Reason)
    assert [name for name, meaning in rows if len(meaning) <= 8 or meaning == name] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_relative_links_resolve(page: Path) -> None:
    dead = []
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_reached_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in LINK.findall(text_of(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_relative_to(ROOT) and target.exists():
                todo.append(target)
    assert [page.name for page in PAGES if page not in seen] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_machine_paths_and_no_foreign_images(page: Path) -> None:
    text = text_of(page)
    assert re.findall(r"(?<![\w.<])/(?:work|root|home|Users)/\S*", text) == []
    assert re.findall(r"(?<![\w.<])/tmp/\S*", FENCE.sub("", text)) == []
    assert "![" not in text


@pytest.mark.parametrize(
    "columns",
    [FATES_SCHEMA.names, INDEX_SCHEMA.names, SIDECAR_SCHEMA.names],
    ids=["fates", "index", "sidecar"],
)
def test_every_column_is_in_the_files_page(columns: list[str]) -> None:
    text = text_of(DOCS / "reference" / "files.md")
    assert [name for name in columns if f"`{name}`" not in text] == []


def test_decisions_are_numbered_without_gaps_and_have_three_parts() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04d}" for n in range(1, len(pages) + 1)]
    for page in pages:
        headings = re.findall(r"^## (.+)$", text_of(page), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], page.name
        assert f"decisions/{page.name}" in text_of(DOCS / "why.md")


def test_short_pages_are_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) < 150
    assert len(text_of(ROOT / "CONTRIBUTING.md").splitlines()) < 80


def test_make_targets_that_are_named_exist() -> None:
    makefile = text_of(ROOT / "Makefile")
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z-]+)(?=[`\n ])", code_of(page))}
    assert {"demo", "test"} <= named
    assert [target for target in sorted(named) if f"\n{target}:" not in makefile] == []


def code_of(page: Path) -> str:
    """Only what stands as code: in prose, make is a verb."""
    text = text_of(page)
    blocks = "\n".join(body for _, body in FENCE.findall(text))
    return blocks + "\n" + "\n".join(f"{span}`" for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))


def test_exit_codes_in_the_readme_are_those_of_the_errors() -> None:
    table = text_of(ROOT / "README.md").partition("## Exit codes")[2].partition("\n## ")[0]
    said = {
        int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")
    }
    raised = {error.exit_code for error in all_errors(GristmillError)}
    assert said == raised | {0, 130, 143}


def all_errors(root: type[GristmillError]) -> Iterator[type[GristmillError]]:
    yield root
    for error in root.__subclasses__():
        yield from all_errors(error)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_python_blocks_compile(page: Path) -> None:
    for language, body in FENCE.findall(text_of(page)):
        if language == "python":
            compile(body, page.name, "exec")


def test_the_recipe_of_the_how_to_works(tmp_path: Path) -> None:
    blocks = [
        body
        for lang, body in FENCE.findall(text_of(DOCS / "how-to" / "add-a-dataset.md"))
        if lang == "python"
    ]
    path = tmp_path / "toy_captions.py"
    path.write_text(blocks[0])
    recipe = recipes.find(str(path))
    assert recipe.public_name == "toy-captions"
    assert [stage.name for stage in Pipeline(recipe)] == ["rows", "samples", "unique", "pack"]
    kept = recipe.parse({"id": 7, "url": "https://example.org/a.jpg", "caption": "a stool"})
    assert isinstance(kept, Sample)
    assert (kept.key, kept.text()) == ("000000007", "a stool")
    odd: list[dict[str, object]] = [
        {},
        {"id": 7, "url": "u", "caption": " "},
        {"id": "7", "url": "u", "caption": "c"},
    ]
    dropped = [outcome.reason for row in odd if isinstance(outcome := recipe.parse(row), Drop)]
    assert dropped == [Reason.BAD_ROW, Reason.EMPTY_TEXT, Reason.BAD_ROW]

    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "a.jsonl").write_text(
        '{"id": 7, "url": "https://example.org/a.jpg", "caption": "c"}\n'
    )
    given = ["plan", str(path), "--source", f"annotations={tmp_path / 'list'}"]
    result = CliRunner().invoke(cli, given)
    assert (result.exit_code, result.exception) == (0, None)
    assert "annotation files   1" in result.output


@pytest.mark.parametrize("folder", ["run", "shards", "steps"])
def test_a_folders_map_names_each_of_its_files_and_no_other(folder: str) -> None:
    package = ROOT / "src" / "gristmill" / folder
    said = set(re.findall(r"\b[a-z][a-z_]+\b", text_of(package / "__init__.py")))
    files = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert sorted(files - said) == []
    assert sorted(word for word in said - files if "_" in word) == []
