"""Families of checks, found by name: a module with ``ORDER``, ``CHECKS`` and ``look``; see ``findings``."""
