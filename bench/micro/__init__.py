"""Benchmarks of single parts: the autoscaler's function, the Fleet page, the version check, the template."""
