"""Answers to more pictures than one process should classify: streamed, resumable, to parquet."""
