"""Airflow's metrics and traces by OpenTelemetry: what is sent, where to, and what becomes of what cannot be delivered.

Only the containers of the service `airflow` send any. Tasks and workers do not: the webserver counts what they report.
"""
