"""What Airflow runs in each of its processes before it connects to its database.

A module of this name that you put on Airflow's path before this one has to make the same call.
"""

from roles.password import follow_rotation

__all__: tuple[str, ...] = ()

follow_rotation()
