"""Deletes what Airflow's database has kept for longer than the environment wants, in small steps."""
