"""Asks for an environment to sleep, or to wake, and waits until it does."""
