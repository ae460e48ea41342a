"""Generates the CloudFormation template."""
