"""Airflow's webserver, with the UI on one port and the Execution API on another."""
