"""DAGs delivered through the stack's bucket: versions named by their content, and the bundle that Airflow reads."""
