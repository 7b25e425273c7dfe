"""What all tests share: property tests give the same examples on every run."""

from hypothesis import settings

settings.register_profile("gristmill", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("gristmill")
