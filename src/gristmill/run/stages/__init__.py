"""What a worker does within one task: a file for each stage. Nothing here knows which task is next.

=====================  =============================================================================================
annotations            prescan, then rows: an annotation file, its rows given a fate or cut into parts
samples                samples: a part's rows parsed, their media fetched and checked
over the dataset       statistics over all media, then screen: samples lose the media that these flag
shards                 pack; or, in a shuffle, scatter, keys, gather
within them            task (does one, by its stage), tables (files as table steps see them), lines (rows of a part),
                       row_states (sums and fates), previous_rounds (before a retry's), quarantine (what kills
                       workers), hashing (a shard being written)
=====================  =============================================================================================
"""
