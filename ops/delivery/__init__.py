"""Promotes a release from environment to environment, and rolls back where the database allows it."""
