"""What several functions need: settings from the environment, tags, ticks, connections to AWS and Redis."""
