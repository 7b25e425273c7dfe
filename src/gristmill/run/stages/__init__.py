"""What a worker does within one task: a file for each stage. Nothing here knows which task is next.

=====================  =============================================================================================
annotations            survey, then rows: an annotation file, its rows given a fate or cut into parts
samples                samples: a part's rows parsed, their media fetched and checked
a verdict over all     census, then sift
shards                 pack; or, in a shuffle, scatter, keys, gather
within them            tables (files as table steps see them), lines (rows of a part), accounts (sums and fates),
                       earlier (rounds before a retry's), hashing (a shard being written)
=====================  =============================================================================================
"""
