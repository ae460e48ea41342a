"""Airflow runs this module in each of its processes before it connects to its database.

A module of this name that precedes this one on Airflow's path must make the same calls.
"""

import os

from agent import variables
from fleet.member import WORKER
from roles.password import follow_rotation

__all__: tuple[str, ...] = ()

follow_rotation()
if os.environ.get(variables.ROLE) == WORKER:
    from agent import log_files

    log_files.install()
