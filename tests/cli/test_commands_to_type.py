import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click import Context
from typed import gristmill as typed

import gristmill
from gristmill.cli.main import cli
from gristmill.spec.command import for_part, naming_source, printable, to_type
from gristmill.spec.errors import AccessError, SourceError

_SOURCE = Path(gristmill.__file__).parent
_TO_TYPE = re.compile(rf"gristmill ({'|'.join(cli.list_commands(Context(cli)))}) [^;:.]*$")


def test_a_folder_with_blanks_comes_back_as_one_word() -> None:
    folder = Path("/data/my pictures/it's here")
    assert shlex.split(to_type("verify", folder, "--repair")) == [
        "gristmill",
        "verify",
        str(folder),
        "--repair",
    ]
    assert to_type("run", "vflan", "--out", "data") == "gristmill run vflan --out data"


def test_advice_names_the_source() -> None:
    with pytest.raises(AccessError, match=r"with --source annotations=FILE\.$"), naming_source("annotations"):
        raise AccessError("Fetch it with a browser, then give the same command with --source KEY=FILE.")
    own = SourceError("no word of it")
    with pytest.raises(SourceError) as caught, naming_source("annotations"):
        raise own
    assert caught.value is own


def test_advice_for_a_part_has_its_name_in_front() -> None:
    said = "give --source annotations=FILE, or --set annotations.variant=b; see --source KEY=X"
    assert for_part(said, "gsm8k-screl") == (
        "give --source gsm8k-screl.annotations=FILE, or --set gsm8k-screl.annotations.variant=b; see --source KEY=X"
    )
    assert for_part(said, "") == said


def test_no_message_puts_a_value_into_a_command_unquoted() -> None:
    assert list(_unquoted(ast.parse("f'Give: gristmill verify {folder} --repair'")))
    found = [
        f"{path.relative_to(_SOURCE)}:{line}"
        for path in _SOURCE.rglob("*.py")
        for line in _unquoted(ast.parse(path.read_text()))
    ]
    assert found == []


def _unquoted(tree: ast.AST) -> Iterator[int]:
    """Lines of f-strings in which a value follows upon the words of a command."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for before, after in zip(node.values, node.values[1:], strict=False):
                text = before.value if isinstance(before, ast.Constant) else ""
                if isinstance(after, ast.FormattedValue) and _TO_TYPE.search(text):
                    yield node.lineno


def test_what_strangers_named_does_not_command_the_terminal(tmp_path: Path) -> None:
    assert (
        printable("a\x1b[31mb\r\n\tc \u202e gr\u00fcn \U0001f600")
        == "a\\x1b[31mb\\r\n\tc \\u202e gr\u00fcn \U0001f600"
    )
    (tmp_path / "urls.csv").write_text("link\x1b[2J,b\nhttp://a/,1\n")
    told = typed("crawl", tmp_path / "urls.csv", "--out", tmp_path / "out", code=2).stderr
    assert "it has link\\x1b[2J, b" in told
