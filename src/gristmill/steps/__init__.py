"""The verbs: a file for each step, and beside it what only that step needs.

===================  ====================================================================================
over tables          select; rows, with spread and repeats; lines; pickles; sample, with spacing (which rows)
over samples         crawl, with crawl_engine and asking (which media are asked for); embedded, with
                     embedded_engine and evenly; facts and loop_thread, of both; instruct; hygiene; marks
over the dataset     same_picture, with same_tally and near; pack; shuffle, with permutation
of several           spill and ordered (more than memory holds, by a number)
===================  ====================================================================================
"""
