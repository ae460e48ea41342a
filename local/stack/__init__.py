"""Brings the deployed template up on this machine."""
