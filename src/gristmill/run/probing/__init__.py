"""A sample of a dataset, asked before anything is crawled: what may be expected of the whole.

``probe`` does it: ``excerpts`` takes rows here and there out of annotation files, ``boxes`` holds in memory what the
steps make of them, ``findings`` says what follows.
"""
