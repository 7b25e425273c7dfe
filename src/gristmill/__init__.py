"""Gristmill: from published vision-language annotations to verified training shards."""

__version__ = "0.1.0"
