"""Annotation files: ``resolve`` finds them, ``numbering`` orders them, ``mixture_parts`` finds datasets."""
