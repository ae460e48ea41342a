"""Airflow's Celery application with the fleet's commands: `celery -A agent.celery_app inspect fleet_version`."""

from airflow.providers.celery.executors.celery_executor import app

import agent.worker  # the command line knows only the commands that its own process has registered

__all__ = ["agent", "app"]
