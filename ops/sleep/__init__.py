"""Puts an environment to sleep or wakes it, and waits until that is done."""
