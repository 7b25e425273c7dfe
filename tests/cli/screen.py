"""The bars of a dataset's run, as a terminal of so many columns shows them."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from gristmill.cli.named import loader_of
from gristmill.cli.progress import Bars
from gristmill.run.maintenance.reopen import open_dataset, planner_of
from gristmill.run.state.context import Progress
from gristmill.spec.task import TaskRecord


def lines_shown(
    folder: Path, columns: int, committed: Sequence[TaskRecord] = (), under_way: Sequence[Progress] = ()
) -> list[str]:
    """All lines drawn while the run of ``folder`` goes on and is told of these tasks, without colours."""
    opened = open_dataset(folder)
    recipe = loader_of(opened, {})()
    screen = io.StringIO()
    with (
        mock.patch.object(screen, "isatty", return_value=True),
        mock.patch.object(sys, "stderr", screen),
        mock.patch.dict("os.environ", TERM="xterm", COLUMNS=str(columns)),
        Bars(folder) as bars,
    ):
        bars.config(recipe, opened.config, opened.ledger, planner_of(opened, recipe))
        for record in committed:
            bars.committed(record)
        for progress in under_way:
            bars.progress(progress)
    opened.ledger.close()
    return re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n").splitlines()
