"""Asks Airflow which DAGs' task instances a user may see."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails


def may_see_tasks(user: Any, dag_id: str) -> bool:
    """Return whether the user may see the task instances of a DAG."""
    details = DagDetails(id=dag_id)
    entity = DagAccessEntity.TASK_INSTANCE
    return bool(get_auth_manager().is_authorized_dag(method="GET", access_entity=entity, details=details, user=user))
