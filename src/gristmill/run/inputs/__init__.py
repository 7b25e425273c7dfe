"""Where annotation files are: ``resolve`` finds them, ``numbering`` orders them, ``mixture_parts`` finds datasets."""
