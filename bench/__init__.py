"""What the project measures about itself without AWS."""
