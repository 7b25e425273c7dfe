"""Kinds of archives, a file each; the file's name is the kind's. A new one is a new file, and no list names it.

Each has ``KIND``, a :class:`gristmill.storage.archives.kind.Kind`.
"""
