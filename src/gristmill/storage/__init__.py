"""Stores, whole files, downloads and archives: this folder alone knows where bytes lie.

``store`` has the files of a dataset by their names: those of a folder, or, through ``object``, those of an object
store, of which ``copies`` keeps some on this machine, ``refusals`` has what went wrong in words, and ``silence`` says
what is waited for. ``files`` writes whole ones, ``leases`` divides work,
``hashing`` hashes what is written, ``inside`` refuses what a stranger's folder may hold. ``hub``, ``url`` and
``stored`` fetch; ``archives`` reads members where they lie.
"""
