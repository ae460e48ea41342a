"""Builds the image of airflow_image/ with whichever builder this machine has, and tells what came out."""
