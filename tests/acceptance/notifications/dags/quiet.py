"""A DAG of a test: a failure in a pool that may publish to no topic."""

from __future__ import annotations

from airflow.providers.amazon.aws.notifications.sns import SnsNotifier
from airflow.sdk import dag, task

ALERT = SnsNotifier(target_arn="arn:aws:sns:us-east-1:123456789012:alerts", message="from the wrong pool")


@task(queue="quiet", on_failure_callback=ALERT)
def fail() -> None:
    """Fail."""
    raise ValueError("no data")


@dag(schedule=None)
def refused() -> None:
    """Fail."""
    fail()


refused()
