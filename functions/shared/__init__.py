"""What both functions need: settings from the environment, the pools, connections."""
