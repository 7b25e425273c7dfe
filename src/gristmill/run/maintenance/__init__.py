"""What is done with a dataset later: ``reopen``, ``verify``, ``clean``."""
