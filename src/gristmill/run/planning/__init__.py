"""Which tasks there are, and which is next.

``pipeline`` groups a recipe's steps into stages. ``queue`` keeps the tasks that are known. ``schedule`` says what
follows from which record, with ``prescans``, ``global_filter`` and ``shuffle`` for stages that not every dataset has,
and ``mixture`` for mixtures. ``replaced`` takes a good annotation file in the place of a damaged one. ``plan`` says
what a run would do.
"""
