"""Airflow runs this module in each of its processes before it connects to its database.

A module of this name that precedes this one on Airflow's path must make the same calls and have the same policies.
"""

from agent.lineage import install as lineage
from roles import dag_modules
from roles.cluster_policy import dag_policy, task_policy
from roles.password import follow_rotation
from telemetry import install as telemetry

__all__ = ("dag_policy", "task_policy")

follow_rotation()
dag_modules.install()
lineage.install()
telemetry.install()
