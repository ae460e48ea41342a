"""What runs on the local stack and reports: the demo, the faults, the scheduled run."""
