"""Generate the CloudFormation template."""
