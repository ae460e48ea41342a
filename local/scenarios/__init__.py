"""Scenarios on the local stack: the demonstration, the faults, a scheduled run."""
