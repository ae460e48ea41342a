"""The bundle that Airflow reads: DAGs delivered through the stack's bucket, kept on a container's disk."""
