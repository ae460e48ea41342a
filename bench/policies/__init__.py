"""Scaling policies: the autoscaler's own and those of other systems, each as documented."""
