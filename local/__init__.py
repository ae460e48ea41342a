"""Runs the deployed template, whole, on one machine."""
