import os
import subprocess
import sys

from gristmill.storage.arrow import pool_for_columns

CODE = """
import sys
{before}
from gristmill.storage.arrow import without_pandas
without_pandas()
import pyarrow as pa
assert pa.Table.from_pylist([{{"a": 1}}])["a"].to_numpy().tolist() == [1]
print("pandas" in sys.modules)
import pandas
print(pandas.Series([1, 2]).sum())
"""


def said(before: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(before=before)], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_pyarrow_does_not_import_pandas_but_others_may():
    assert said("") == ["False", "3"]


def test_where_somebody_has_pandas_it_stays():
    assert said("import pandas") == ["True", "3"]


def test_what_commands_and_workers_load_converts_nothing_while_it_is_loaded():
    loaded = ("gristmill.cli.finish", "gristmill.run.workers.task", "gristmill.steps.conversations.examine")
    code = f"import sys, {', '.join(loaded)}; print('pandas' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_pool_for_columns_is_one_that_this_pyarrow_has():
    code = "import pyarrow as pa; print(pa.default_memory_pool().backend_name)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": pool_for_columns()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout.strip(), ran.stderr) == (pool_for_columns(), "")
