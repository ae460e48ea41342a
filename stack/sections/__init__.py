"""The sections of the CloudFormation template, one module each."""
