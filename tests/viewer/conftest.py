from __future__ import annotations

import pytest
from made_dataset import Made, make_dataset


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A finished dataset's folder; do not change it."""
    return make_dataset(tmp_path_factory.mktemp("made"))
