"""Loads: arrivals and durations of tasks, generated or read from files, and the cost bounds that follow from them."""
