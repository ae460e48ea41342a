"""Versions of DAGs in the stack's bucket, named by their content: how they are written and read."""
