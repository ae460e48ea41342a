"""Puts a whole environment to sleep, and wakes it."""
