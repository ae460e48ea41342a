"""CloudFormation on the local AWS API."""
