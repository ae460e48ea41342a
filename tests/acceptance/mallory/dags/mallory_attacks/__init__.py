"""Attacks of a task on everything around it."""
