"""Annotation files and media sources: where they are, and in which order.

``resolve`` finds them, ``local_media`` on this machine, ``bucket`` in an object store, ``named_files`` by names;
``numbering`` orders annotation files. ``media`` fetches and indexes media sources, and ``waiting`` does so while one
waits for a person. ``mixture_parts`` finds datasets.
"""
