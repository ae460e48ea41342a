"""The report on Airflow's own work, which the forecaster writes: failures, late DAGs, imports, delays, heartbeats."""
