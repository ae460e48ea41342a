"""Loads: arrivals and durations of tasks, generated or read, with the bounds that follow from them."""
