"""Reads CloudFormation templates: intrinsics, the SAM transform, parameters, rules."""
