"""The fault matrix: what goes wrong on the real local stack, and that no task is lost by it."""
