"""Tokens of the REST API for machines: POST /machines/token and /machines/aws, where MachineRoles names some."""

from __future__ import annotations

import os
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from agent import variables
from fleet.member import WEBSERVER

PREFIX = "/machines"


def make_apps(name: str) -> list[dict[str, Any]]:
    """Return the application, only in a webserver that has rules."""
    if os.environ.get(variables.ROLE) != WEBSERVER or not os.environ.get(variables.MACHINE_ROLES, "").strip():
        return []
    # Imported here: every process loads this file, and only the webserver needs FastAPI.
    from machines.app import make_app

    return [{"name": name, "url_prefix": PREFIX, "app": make_app()}]


class MachinesWeb(AirflowPlugin):  # type: ignore[misc]  # Airflow is not type-checked here
    """The application, only in the webserver."""

    name = "machines_web"
    fastapi_apps = make_apps(name)
