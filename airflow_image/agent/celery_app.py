"""Airflow's Celery application with the fleet's commands: `celery -A agent.celery_app inspect fleet_version`."""

from airflow.providers.celery.executors.celery_executor import app

import agent.worker  # the command line knows only commands that are registered in its own process

__all__ = ["agent", "app"]
