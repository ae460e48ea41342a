"""Refuses DAGs that name a queue which no pool serves: their tasks would take slots of the executor and never run."""

from __future__ import annotations

import os
from typing import Any

from agent import variables
from fleet.pools import POOLS, read_pools, why_unserved

DAG_PROCESSOR = "dag-processor"


def task_policy(task: Any) -> None:
    """Check one task of a DAG that the DAG processor parses: AirflowClusterPolicyViolation is its file's import error.

    Airflow calls this in every process that parses DAGs. Workers run what was queued.
    """
    if os.environ.get(variables.ROLE) != DAG_PROCESSOR:
        return
    if reason := why_unserved(task.queue, read_pools(os.environ[POOLS])):
        from airflow.exceptions import AirflowClusterPolicyViolation

        raise AirflowClusterPolicyViolation(f"task {task.task_id} of DAG {task.dag_id}: {reason}")
