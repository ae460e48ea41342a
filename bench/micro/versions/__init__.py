"""What the version check and the hash of the DAG files cost."""
