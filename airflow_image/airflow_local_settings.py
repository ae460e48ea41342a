"""Airflow runs this module in each of its processes before it connects to its database.

A module of this name that precedes this one on Airflow's path must make the same call and have the same policy.
"""

from roles.password import follow_rotation
from roles.queue_policy import task_policy

__all__ = ("task_policy",)

follow_rotation()
