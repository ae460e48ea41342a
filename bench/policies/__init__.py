"""Scaling policies: the autoscaler's own and other systems', each as it is documented."""
