"""Faults done to the real local stack while tasks run, and a verdict on each."""
