"""Formats of what is read, handed on and written; one reader and one writer each.

=====================  =========================================================================================
annotations            rows (all lists), framing, dialects, textlines, delimited, json_row, json_array, json_forms;
                       parquet_rows, arrow_values (every type, exactly), column_kinds and footers (of Parquet);
                       far_texts (left where they lie); pickle_items (row by row), pickle_whole, and below
                       them pickle_machine, pickle_stack, pickle_bytes, pickle_numbers (NumPy's)
between stages         spool, samples (a sample as bytes), lossless (exact JSON), not_finite, scattered
finished shards        webdataset, extents (samples moved as bytes), placed (read in another order), references (where
                       an index-only mixture's samples lie), sidecars, shape (what samples are made of)
=====================  =========================================================================================
"""
