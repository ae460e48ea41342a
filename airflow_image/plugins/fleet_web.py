"""The Fleet page and a task's tab Why in Airflow's UI, for authorized users."""

from __future__ import annotations

import os
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from agent import variables
from fleet.member import WEBSERVER

PREFIX = "/fleet"
PAGE = "Fleet"
BANNER = "Fleet banner"
WHY = "Why"


def make_app() -> Any:
    """Return the ASGI application below PREFIX."""
    # Imported here: every process loads this file, and only the webserver needs FastAPI.
    from fastapi import FastAPI

    from agent.page.app import add_page
    from agent.page.tasks_route import add_tasks
    from agent.why.routes import add_why

    app = FastAPI(openapi_url=None)
    add_page(app)
    add_tasks(app)
    add_why(app)
    return app


def make_react_apps() -> list[dict[str, Any]]:
    """Return the page in the navigation, its banner on Home, and the tab of a task instance.

    A module sets the global that has its app's name.
    """
    from agent.page.app import static_path

    files = f"{PREFIX}{static_path()}".lstrip("/")  # relative: Airflow may be served below a path
    page = {
        "name": PAGE,
        "bundle_url": f"{files}/page.js",
        "destination": "nav",
        "url_route": "fleet",
        "nav_top_level": True,
        "icon": f"{files}/icon.svg",
        "icon_dark_mode": f"{files}/icon_dark.svg",
    }
    why = {
        "name": WHY,
        "bundle_url": f"{files}/why.js",
        "destination": "task_instance",
        "url_route": "why",
        "icon": f"{files}/why.svg",
        "icon_dark_mode": f"{files}/why_dark.svg",
    }
    return [page, {"name": BANNER, "bundle_url": f"{files}/banner.js", "destination": "dashboard"}, why]


class FleetWeb(AirflowPlugin):  # type: ignore[misc]  # Airflow is not type-checked here
    """The application and the page, only in the webserver."""

    name = "fleet_web"
    fastapi_apps = (
        [{"name": name, "url_prefix": PREFIX, "app": make_app()}] if os.environ.get(variables.ROLE) == WEBSERVER else []
    )
    react_apps = make_react_apps() if os.environ.get(variables.ROLE) == WEBSERVER else []
