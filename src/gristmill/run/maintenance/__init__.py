"""What is done with a dataset later: ``reopen``, ``verify``, ``clean``; ``stored_media`` for pages."""
