import os

import pytest
from fetch import Missing, folder, specimens


@pytest.fixture(scope="session")
def corpus(everything):
    """Every picture of the corpora."""
    return [one for one in everything if one.kind != "video"]


@pytest.fixture(scope="session")
def videos(everything):
    """Every video of the corpora."""
    return [one for one in everything if one.kind == "video"]


@pytest.fixture(scope="session")
def everything():
    """Every file of the corpora; that they cannot be had is an error, not a reason to pass."""
    try:
        return list(specimens())
    except Missing as err:
        said = (
            f"{err}\nThe corpora come from Debian's and PyPI's registries into {folder()}. "
            "Where there is no network: GRISTMILL_OFFLINE=1 skips these tests."
        )
        if os.environ.get("GRISTMILL_OFFLINE") == "1":
            pytest.skip(said)
        pytest.fail(said)


def pytest_collection_modifyitems(items):
    for item in items:
        if "everything" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(600))
