"""The simulator's hot modules and the autoscaler's `decide` as C: the same source, the same results, in less time."""
