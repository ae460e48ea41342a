"""Tokens of the REST API for machines, which prove who they are without a password."""
