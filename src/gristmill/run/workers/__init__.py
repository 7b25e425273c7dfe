"""Worker processes, and what is done in one; executors start them, or do the same without them.

``launch`` starts one and ``worker`` is one. ``messages`` is what is said to it and what it says. ``task`` does one
task, in whichever process. ``stacks`` tells where a process stands.
"""
