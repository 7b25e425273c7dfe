"""A dataset's folder as tasks see it.

``layout`` says where files lie, ``context`` what a task is given and hands back. ``indexes`` reads what a crawl task
wrote, and ``spent`` says which files nobody needs any more.
"""
