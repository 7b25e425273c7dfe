"""Stores, whole files, downloads and archives: this folder alone knows where bytes lie.

``store`` says what holds a dataset's files by their names: ``local``, a folder, or ``object``, an object store, whose
journals are ``segments``. Of that ``copies`` keeps some files on this machine, ``refusals`` has what went wrong in
words, and ``silence`` says what is waited for. ``files`` writes whole ones, ``leases`` divides work, ``hashing``
hashes what is written, ``inside`` refuses what a stranger's folder may hold, ``seen`` remembers many names in little
memory. ``hub``, ``url`` and ``bucket`` fetch inputs; ``archives`` reads members where they lie.
"""
