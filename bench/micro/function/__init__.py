"""Measures the autoscaler's Lambda function and checks its limits."""
