"""What tasks cost and how fast they start, measured side by side with stock Airflow."""
