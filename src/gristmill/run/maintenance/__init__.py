"""Holds what is done with a dataset later: ``reopen``, ``verify``, ``clean``; ``task_media`` for pages."""
