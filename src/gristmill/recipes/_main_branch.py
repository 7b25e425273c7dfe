"""Says what holds of annotations that are pinned neither by a commit nor by a checksum."""

from __future__ import annotations

__all__ = ["MAIN_BRANCH", "VILA"]

VILA = "mit-han-lab/vila-dataset"
"""The repository of VILA's own annotations."""

MAIN_BRANCH = (
    "The revision is the main branch of {repo}: no commit of it is known in full. The file's checksum at the "
    "beginning is recorded, and a run refuses to go on with another."
)
"""A trap of recipes that read such a repository."""
