"""Planning and running: handed a recipe, names none, and no step.

=====================  =============================================================================================
the run                begin (or go on), reopen, drive (the main loop), context, layout, inputs, numbering
what is next           schedule, queue, stages; mixture, mixture_parts; exchange (the tasks of a shuffle)
who does it            local (executors), worker (a process), vitals (does it get on), isolate (what kills workers)
one task               task, and a file for each stage: survey, rows, samples, census, sift, scatter, keys, gather,
                       pack; survey and census also say which tasks of theirs there are
within rows, samples   tables (files as table steps see them), lines, accounts, earlier (rounds before a retry's)
around it              plan; verify, clean; export, export_vila, export_interleaved
=====================  =============================================================================================
"""
