"""Cleans an environment's database on demand, with the ECS task of its schedule."""
