"""Benchmarks of single parts: the autoscaler's function, Execution API, Fleet page, version check, template."""
