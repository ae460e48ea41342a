"""The Fleet page in Airflow's own UI."""
