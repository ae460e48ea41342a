"""CloudFormation on the embedded AWS API."""
