"""The simulation: the clock, ECS, workers, the fleet registry, the forecaster."""
