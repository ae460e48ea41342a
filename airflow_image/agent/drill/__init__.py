"""Finds out whether a restored database is whole, and whether this release can work with it."""
