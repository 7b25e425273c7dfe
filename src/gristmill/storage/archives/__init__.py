"""Media in archives and folders, read where they lie: nothing is unpacked to disk, and no name is ever a path.

::

    archives = archives_of([Path("train2017.zip"), Path("frames.tar.gz.aa"), Path("frames.tar.gz.ab")])
    write_index(archives[0], Path("train2017.parquet"))       # once: a task, whose output is kept
    source = MediaSource([Indexed(archives[0], Path("train2017.parquet"))])
    found = source.find(["train2017/000000000009.jpg"])       # many at once; None: there is none
    source.read(found[0])                                     # checked bytes; open() for a stream
    source.extent(found[0])                                   # or where to copy them from, as they are

=============  =============================================================================================
entries        a member, why it is refused, what a pass saw, an index in numbers
source         write_index, MediaSource (find, open, read, extent), in_order (one pass, without an index)
index          the table of members: written in sorted runs, merged; found by name
catalog        one such table over all archives of a source, by the paths that records use; which layout holds
parts          an archive as one row of bytes over its files; the files that a process keeps open
bodies         a member's bytes in pieces: ranged, inflated, checked; as a stream
names          a name as it is compared and searched by, and why it is refused
kind, kinds/   what a kind does, which one an archive is; a file for each kind
tar_walk       the pass over a tar's headers
=============  =============================================================================================
"""

from gristmill.storage.archives.catalog import Catalogued, read_catalog, write_catalog
from gristmill.storage.archives.entries import Entry, Extent, MemberRefused, Refusal, Scan, Summary
from gristmill.storage.archives.index import MemberIndex
from gristmill.storage.archives.kind import kind_of
from gristmill.storage.archives.parts import Archive, archives_of, joined, parts_beside
from gristmill.storage.archives.source import (
    LARGE_BYTES,
    ArchiveSource,
    Indexed,
    in_order,
    members_in,
    write_index,
)

__all__ = [
    "LARGE_BYTES",
    "Archive",
    "ArchiveSource",
    "Catalogued",
    "Entry",
    "Extent",
    "Indexed",
    "MemberIndex",
    "MemberRefused",
    "Refusal",
    "Scan",
    "Summary",
    "archives_of",
    "in_order",
    "joined",
    "kind_of",
    "members_in",
    "parts_beside",
    "read_catalog",
    "write_catalog",
    "write_index",
]
