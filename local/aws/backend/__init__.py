"""Shared by all parts of the embedded AWS API: clients, requests, settings, errors."""
