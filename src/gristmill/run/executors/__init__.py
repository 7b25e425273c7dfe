"""Executors run tasks, in this process or in worker processes.

``local`` holds the executors of this machine, ``launch`` starts worker processes, and ``worker`` is such a process;
``task`` does one task. ``vitals`` and ``standstill`` tell whether a worker gets anywhere.
"""
