"""Refuses DAGs whose tasks could not run: the DAG processor reports the reason as the import error of their file."""

from __future__ import annotations

import os
from typing import Any

from agent import variables
from fleet.pools import POOLS, read_pools, why_unserved
from roles.log_paths import MAX_DAG_ID_BYTES, MAX_TASK_ID_BYTES

DAG_PROCESSOR = "dag-processor"


def dag_policy(dag: Any) -> None:
    """Check a DAG that the DAG processor parses, without its tasks. Raises AirflowClusterPolicyViolation.

    Airflow calls this and `task_policy` in every process that parses DAGs. Workers run what was queued.
    """
    if os.environ.get(variables.ROLE) == DAG_PROCESSOR:
        _refuse(_why_too_long(f"DAG {dag.dag_id}", dag.dag_id, MAX_DAG_ID_BYTES))


def task_policy(task: Any) -> None:
    """Check a task: its queue, because it would take slots of the executor and never run, and the length of its id."""
    if os.environ.get(variables.ROLE) != DAG_PROCESSOR:
        return
    name = f"task {task.task_id} of DAG {task.dag_id}"
    unserved = why_unserved(task.queue, read_pools(os.environ[POOLS]))
    _refuse(f"{name}: {unserved}" if unserved else "")
    _refuse(_why_too_long(name, task.task_id, MAX_TASK_ID_BYTES))


def _why_too_long(name: str, identifier: str, most: int) -> str:
    size = len(identifier.encode())
    return f"{name}: its id has {size} bytes in UTF-8; its log needs at most {most}" if size > most else ""


def _refuse(reason: str) -> None:
    if reason:
        from airflow.exceptions import AirflowClusterPolicyViolation

        raise AirflowClusterPolicyViolation(reason)
