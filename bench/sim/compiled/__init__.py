"""Compiles the simulator's hot modules and the autoscaler's `decide` to C: the same results in less time."""
