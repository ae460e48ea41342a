"""Benchmarks of single parts: the functions, the Fleet page, the version check, the template."""
