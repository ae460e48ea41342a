"""Signing in: Airflow's FAB auth manager with this product's rules. Loaded by the webserver and by `migrate` only."""
