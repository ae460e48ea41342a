"""Benchmarks: each figure is measured in the run that prints it."""
