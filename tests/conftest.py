"""What all tests share: property tests give the same examples on every run."""

import gc

from hypothesis import settings

settings.register_profile("gristmill", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("gristmill")


def pytest_collection_finish() -> None:
    """Thousands of collected tests live to the end: no later collection of garbage need look at them."""
    gc.freeze()
