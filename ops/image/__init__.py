"""Builds the image of airflow_image/ with the builder that this machine has, and reports the result."""
