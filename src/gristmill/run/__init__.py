"""Planning and running: handed a recipe, names none, and no step.

=====================  =============================================================================================
driver                 the main loop: gives tasks to an executor and commits their records
signals                Ctrl-C and SIGTERM: the first ends a run tidily, the second at once
begin                  begins a dataset's folder, or finds that it was begun with the same
executors/             where tasks run, a file for each way
workers/               worker processes, and how one task is done
stages/                what is done within one task, a file for each stage
planning/              which tasks there are, and which is next
inputs/                where annotation files are, and in which order
state/                 where files lie in a dataset's folder, and what a task is given
maintenance/           what is done with a dataset later: opened again, verified, cleaned
probing/               a sample of a dataset, asked before anything is crawled
=====================  =============================================================================================
"""
