"""The embedded AWS API: moto, and what moto lacks."""
