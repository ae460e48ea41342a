"""What the sections share: parameters, IAM statements, security groups, task definitions, listeners."""
