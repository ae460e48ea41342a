"""Measures the autoscaler's Lambda function against its limits."""
