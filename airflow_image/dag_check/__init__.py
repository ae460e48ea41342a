"""Checks whether the DAG processor of this image would take the DAG files of a folder."""
