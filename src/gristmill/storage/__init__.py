"""Where bytes lie, and how they get there.

``store`` has the files of a dataset by their names; ``files`` writes whole ones, ``leases`` divides work, ``hashing``
hashes what is written, ``inside`` refuses what a stranger's folder may hold. ``hub`` and ``url`` fetch, and
``archives`` reads members where they lie.
"""
