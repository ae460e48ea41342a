"""What the tasks of a history would cost with an environment's settings, by DAG and by owner."""
