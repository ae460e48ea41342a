"""The fleet: every container of the stack reports itself to the broker's Redis, where the scaler reads it."""
