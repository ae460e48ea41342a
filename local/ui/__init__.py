"""The running stack, live on a terminal."""
