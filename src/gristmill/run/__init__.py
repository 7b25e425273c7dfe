"""Planning and running: handed a recipe, names none, and no step.

=====================  =============================================================================================
the run                begin (or go on), reopen, drive (the main loop), plan (what it would do)
its inputs             inputs, numbering, mended (in the place of one that is damaged); mixture_parts
what is next           pipeline (steps grouped into stages), schedule, queue; and the tasks of surveys, censuses,
                       exchange (a shuffle), mixture
who does it            local (executors), launch, worker (a process), isolate (what kills them), vitals and standstill
                       (whether they get anywhere), task (one task)
shared                 context (what a task is given), layout (where files lie), indexes (of crawl tasks), released
stages/                what a worker does within one task, a file for each stage
finished/              what is done with a finished dataset: verify, export, clean
=====================  =============================================================================================
"""
