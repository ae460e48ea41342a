"""Builds the webserver's application from Airflow's own two: UI and REST API, and Execution API."""

from __future__ import annotations

import os
from typing import Any

# Airflow reads it when it is first imported: plugins then get the secrets of a server.
os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"

from airflow.api_fastapi.app import create_app
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from agent import variables
from agent.identity import read_identity
from agent.versions import CodeWatch
from agent.web.first_requests import answer_each_kind
from agent.web.late_tasks import late_tasks
from agent.web.latency import Latency
from agent.web.listeners import Application, Listener, Listeners
from agent.web.paths import UI_PAGES
from fleet.pools import POOLS
from telemetry import names, tasks
from telemetry.settings import SENT, SHARE

EXECUTION = "execution"
FLEET = "fleet"
VERSION_PATH = f"/{FLEET}/version"
# A page of the UI, the REST API with the database, the Execution API.
PUBLIC_KINDS = ("/", "/api/v2/monitor/health")
INTERNAL_KINDS = ("/execution/health",)


def make() -> Application:
    """Return the application for the ports that the environment names."""
    public, internal = int(os.environ[variables.PUBLIC_PORT]), int(os.environ[variables.PORT])
    core, execution = create_app(apps="core"), create_app(apps=EXECUTION)
    _add_version(execution)
    _watch_tasks()
    latency = Latency(execution)
    lifespans = (*(_lifespan(app) for app in (core, execution)), latency.reporting)

    async def ready(application: Application) -> None:
        await answer_each_kind(application, {public: PUBLIC_KINDS, internal: INTERNAL_KINDS})
        latency.forget()

    return Listeners(
        Listener(port=public, application=core, allowed=_first_segments(core) | UI_PAGES, root=core.root_path),
        Listener(port=internal, application=latency, allowed={EXECUTION, FLEET}, root=execution.root_path),
        lifespans=lifespans,
        ready=ready,
    )


def _watch_tasks() -> None:
    """Count the tasks that end, and show in traces why they waited, as far as metrics and traces are on."""
    is_counting, is_tracing = os.environ.get(SENT, names.NONE) != names.NONE, float(os.environ.get(SHARE) or 0) > 0
    late = late_tasks(pools=os.environ[POOLS], reader_url=os.environ[variables.READER_URL]) if is_tracing else None
    if late is not None:
        late.start()
    if is_counting or late is not None:
        tasks.install(is_counting=is_counting, note=late.note if late is not None else None)


def _lifespan(app: FastAPI) -> Any:
    return lambda: app.router.lifespan_context(app)


def _first_segments(app: FastAPI) -> frozenset[str]:
    """Return the first segments of the application's routes, without the one that takes every path."""
    segments = {str(getattr(route, "path", "")).lstrip("/").split("/")[0] for route in app.routes}
    return frozenset(segment for segment in segments if segment and "{" not in segment)


def _add_version(app: FastAPI) -> None:
    """Let the version check ask which code the webserver runs. Only the stack's own members reach this port."""
    identity, code = read_identity(os.environ), CodeWatch(os.environ)

    @app.get(VERSION_PATH, include_in_schema=False)  # type: ignore[untyped-decorator]
    def version() -> JSONResponse:
        return JSONResponse(identity.answer(code.dags_hash()), headers={"Cache-Control": "no-store"})
