"""The webserver's answer to which tasks a worker runs, for those who may see the fleet, and of it their own DAGs."""

from __future__ import annotations

import functools
import json
import logging
import os
from typing import Any

import redis
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, FastAPI, Response
from sqlalchemy.exc import SQLAlchemyError

from agent import variables
from agent.broker import Outage, connect
from agent.dag_access import may_see_tasks
from agent.page.tasks import read_tasks
from fleet.member import STOPPED, WORKER, Member
from fleet.registry import Registry

log = logging.getLogger(__name__)

PATH = "/api/tasks"


def add_tasks(app: FastAPI) -> None:
    """Add the route to the application. Airflow answers 401 and 403 to those who may not see the fleet."""
    app.include_router(_routes())


def _routes() -> APIRouter:
    routes = APIRouter()
    broker = Outage("the Fleet page cannot read which address a worker has", log)
    database = Outage("the tasks of a worker cannot be read from Airflow's database", log)

    @functools.cache
    def client() -> redis.Redis:
        return connect(os.environ[variables.READER_URL])

    def tasks(worker: str, user: GetUserDep) -> Response:
        try:
            found = _worker(client(), worker)
        except redis.RedisError as error:
            broker.begin(type(error).__name__)  # a broker's message may hold its address
            return _answer({"detail": "The broker cannot be read."}, status=503)
        broker.end()
        if found is None:
            return _answer({"detail": "There is no such worker."}, status=404)
        if not found.host:
            return _answer({"detail": "The worker has not reported its address."}, status=409)
        try:
            with create_session() as session:
                content = read_tasks(session, found, may_see=functools.partial(may_see_tasks, user))
                session.rollback()  # nothing of this is to be written
        except SQLAlchemyError as error:
            database.begin(type(error).__name__)  # a database's message may hold values
            return _answer({"detail": "Airflow's database cannot be read."}, status=502)
        database.end()
        return _answer(content, status=200)

    may_see = Depends(requires_access_view(AccessView.CLUSTER_ACTIVITY))
    routes.add_api_route(PATH, tasks, dependencies=[may_see])
    return routes


def _worker(client: redis.Redis, name: str) -> Member | None:
    members = Registry(client).members().members
    return next((m for m in members if m.id == name and m.role == WORKER and m.state != STOPPED), None)


def _answer(content: Any, *, status: int) -> Response:
    # ASCII only: names may hold characters that UTF-8 cannot encode (a lone surrogate).
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store"}, media_type="application/json")
