"""The stages: one kind of task a file, found by the file's name. Whoever adds one edits nothing.

A stage's file says which steps are its own, which tasks follow from which records, and what decision goes with a
task (:mod:`gristmill.run.planning.stage`). What it does within a task, and all that this imports, is beside it, in
the file of the same name with ``_`` in front.

=====================  =============================================================================================
annotations            prescan, then rows: an annotation file, its rows given a fate or cut into parts
samples                samples: a part's rows parsed, their media fetched and checked
over the dataset       statistics over all media, then screen: samples lose the media that these flag; unique: of
                       equal keys the first sample stays
shards                 pack; or, in a shuffle, scatter, keys, gather
within tasks           _tables (files as table steps see them), _lines (rows of a part), _row_states (sums and fates),
                       _spooled (what stands before a medium), _previous_rounds (before a retry's), _quarantine (what
                       kills workers), _changed_index (one whose samples a later task changed)
between runs           _replaced: a good annotation file in the place of a damaged one
=====================  =============================================================================================
"""
