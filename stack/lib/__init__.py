"""Helpers that the sections share: parameters, IAM statements, security groups, task definitions, listeners."""
