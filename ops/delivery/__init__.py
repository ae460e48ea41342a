"""Brings a release from environment to environment, and back where the database allows it."""
