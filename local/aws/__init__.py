"""The AWS API of the local platform: moto, and what it lacks."""
