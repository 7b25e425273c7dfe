"""Where tasks run.

``local`` holds the executors of this machine, ``launch`` starts worker processes, and ``worker`` is such a process.
``vitals`` and ``standstill`` tell whether a worker gets anywhere.
"""
