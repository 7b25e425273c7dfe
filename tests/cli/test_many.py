"""The same for each recipe of a group."""

import json

import click
import pytest

from gristmill.cli.many import SomeFailed, for_each
from gristmill.spec.errors import ByHandSource, Incomplete, MachineError, SourceError


def test_one_that_fails_does_not_stop_the_others(capsys):
    faults = {"b": ByHandSource("b: fetch it\nby hand"), "c": SourceError("c: gone")}

    def work(name: str) -> None:
        if name in faults:
            raise faults[name]
        click.echo(f"done {name}")

    with pytest.raises(SomeFailed) as caught:
        for_each(["a", "b", "c", "d"], work, as_json=False)
    assert caught.value.exit_code == 1
    assert str(caught.value).splitlines()[1:] == ["  b: fetch it", "  c: gone"]
    assert "2 of 4" in str(caught.value)
    told = capsys.readouterr()
    assert told.out.splitlines() == ["== a", "done a", "== b", "== c", "== d", "done d"]
    assert "by hand" in told.err


def test_the_worst_exit_code_is_told():
    for errors, code in (((ByHandSource("x"),), 3), ((Incomplete("x"), SourceError("x")), 1)):
        left = list(errors)

        def work(name: str, left: list[Exception] = left) -> None:
            if left:
                raise left.pop()

        with pytest.raises(SomeFailed) as caught:
            for_each(["a", "b", "c"], work, as_json=False)
        assert caught.value.exit_code == code


def test_a_machine_at_its_end_stops_all():
    seen = []

    def work(name: str) -> None:
        seen.append(name)
        raise MachineError("the disk is full")

    with pytest.raises(MachineError):
        for_each(["a", "b"], work, as_json=False)
    assert seen == ["a"]


def test_json_is_one_document(capsys):
    def work(name: str) -> None:
        click.echo(json.dumps({"rows": 1}) if name == "a" else b'{"rows": 1}')
        if name == "b":
            raise Incomplete("b: too few")

    with pytest.raises(SomeFailed):
        for_each(["a", "b"], work, as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"name": "a", "exit_code": 0, "error": None, "result": {"rows": 1}},
        {"name": "b", "exit_code": 3, "error": "b: too few", "result": {"rows": 1}},
    ]
    for_each(["a"], work, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"rows": 1}
