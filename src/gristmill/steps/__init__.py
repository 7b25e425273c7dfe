"""The verbs: a file for each step, and beside it what only that step needs.

===================  ====================================================================================
over tables          select; rows, with spread, repeats, alike, by_place; cells; named; lines; pickles; sample,
                     with spacing
over samples         crawl, embedded (evenly), media, clip (videos), instruct, hygiene, marks, wikimedia,
                     ids_by_place, check (conversations/), shots, segments, media_place, decontaminate, with
                     hash_list, evaluation_sets
their media          taking: the one way of all; asking: which are asked for; facts; loop_thread; acquirers/, a
                     file for each kind of locator; video_names; transcoders/, a file for each kind of medium
over the dataset     same_picture, with same_tally and near; pack; shuffle, with permutation
of several           spill and ordered (more than memory holds, by a number)
===================  ====================================================================================
"""
