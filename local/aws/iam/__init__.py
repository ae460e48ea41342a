"""Evaluates the calls to the embedded AWS API by IAM's rules: who calls, for what, and which policies apply."""
