"""Conversations as files and recipes have them, looked at record by record: what would fail a trainer, or mislead it.

==============  ============================================================================================
conversation    a record as all checks see it, whatever its shape
shapes          between a JSON record of any of the known shapes and that
samples         between a sample of a run and that
findings        a check's code, what is done, and the checks, found by name
checks/         a file for each family of checks
records         the records of a JSON file in any form, in constant memory
pictures        what is behind the paths: there, whole, how large, the same under many names
batches         some records looked at, in this process or another
examine         a whole file: its records, its media, the mended copy
==============  ============================================================================================
"""
