"""The roles a container can play, and what each gets from the environment of its task definition."""
