"""A crawl is not begun where its processes could open next to no file."""

import resource

import pytest

from gristmill.run.driver import check_open_files
from gristmill.spec.errors import MachineError


def test_too_few_open_files_are_said_before_anything_is_asked(monkeypatch):
    check_open_files()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (48, 48))
    with pytest.raises(MachineError, match="may have 48 files open here"):
        check_open_files()
