"""The simulated world: ECS, workers, the fleet registry, the clock."""
