import subprocess
import sys

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
