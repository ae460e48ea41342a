"""Airflow runs this module in each of its processes before it connects to its database.

A module of this name that precedes this one on Airflow's path must make the same call.
"""

from roles.password import follow_rotation

__all__: tuple[str, ...] = ()

follow_rotation()
