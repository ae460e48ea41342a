"""The demonstration: a burst of real tasks, and a report on it."""
