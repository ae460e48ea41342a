"""Shows the running stack on a terminal."""
