"""The demonstration: a burst of real tasks, and what the stack made of it."""
