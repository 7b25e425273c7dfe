"""Nothing that is printed commands the terminal, by whichever way it is printed."""

from __future__ import annotations

import io
import sys

import click
import pytest

from gristmill.cli.printed import printable_streams
from gristmill.cli.terminal import Terminal

EVIL = "\x1b]0;owned\x07 \x9b2J \u202e \ud800 gr\u00fcn"
TOLD = "\\x1b]0;owned\\x07 \\x9b2J \\u202e \\ud800 gr\u00fcn"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_texts_of_strangers_are_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Tty()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    with printable_streams():
        print(EVIL)
        click.echo(EVIL)
        click.echo("\r1 shard", nl=False)
        sys.stdout.writelines(["a\n", f"{EVIL}\n"])
        Terminal(markup=False, highlight=False, width=200).print(EVIL, style="bold")
    assert sys.stdout is out
    lines = out.getvalue().split("\n")
    assert lines[:2] == [TOLD, TOLD]
    assert lines[2:4] == ["\r1 sharda", TOLD]
    told = TOLD.replace("\\x07", "")  # which Rich leaves out
    assert lines[4] == f"\x1b[1m{told}\x1b[0m"  # its own control sequences stay


def test_a_closed_stream_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with printable_streams():
        assert sys.stderr is None
