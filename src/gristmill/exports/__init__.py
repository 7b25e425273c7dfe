"""Trainers' formats: what is written of a finished dataset for those who read no shards."""
