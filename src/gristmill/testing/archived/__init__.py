"""Made-up recipes whose pictures lie in a media source: one file for each kind of it, to be run by its path."""
