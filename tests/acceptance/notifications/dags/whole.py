"""A DAG of a test: a callback of the DAG itself, which the DAG processor runs; its task's pool may not publish."""

from __future__ import annotations

from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.sdk import dag, task

ALERT = SnsNotifier(target_arn="arn:aws:sns:us-east-1:123456789012:dags", message="{{ dag.dag_id }} failed")


@task(queue="quiet")
def fail() -> None:
    """Fail."""
    raise ValueError("no data")


@dag(schedule=None, on_failure_callback=ALERT)
def whole() -> None:
    """Fail."""
    fail()


whole()
