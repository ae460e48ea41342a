"""The Fleet page's part of the webserver: its files for everyone, the fleet's data for authorized users."""

import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from agent import variables
from agent.broker import Outage, connect
from agent.page.costs import read_costs
from agent.page.reader import read_code, read_fleet, read_history
from agent.page.shared import Shared
from fleet.pools import POOLS, Pool, read_pools

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
A_YEAR_S = 31_536_000
NO_CACHE = "no-cache"  # with this directive in a request, an endpoint reads the broker again
Read = Callable[[redis.Redis, tuple[Pool, ...]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An endpoint's answer: an HTTP status and JSON."""

    status: int
    body: str


def static_path() -> str:
    """Return the path of the page's files, below the application; it changes with their contents."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"/static/{digest.hexdigest()[:16]}"


class KeptFiles(StaticFiles):  # type: ignore[misc]  # FastAPI is not type-checked here
    """Files that a browser may cache, because their path changes with their contents."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = f"public, max-age={A_YEAR_S}, immutable"
        return response


def add_page(app: FastAPI) -> None:
    """Add the page's routes to the application."""
    app.include_router(_routes())
    app.mount(static_path(), KeptFiles(directory=STATIC))


def _routes() -> APIRouter:
    """Return routes for everyone who may read Airflow's cluster activity. Airflow answers 401 and 403 to others."""
    may_see = Depends(requires_access_view(AccessView.CLUSTER_ACTIVITY))
    routes = APIRouter(prefix="/api", dependencies=[may_see])
    pools = read_pools(os.environ[POOLS])
    outage = Outage("the Fleet page cannot read the broker", log)

    @functools.cache
    def client() -> redis.Redis:
        return connect(os.environ[variables.READER_URL])

    def ask(read: Read) -> Answer:
        try:
            content = read(client(), pools)
        except redis.RedisError as error:
            outage.begin(type(error).__name__)  # a broker's message may hold its address
            return Answer(status=503, body=_json({"detail": "The broker cannot be read."}))
        outage.end()
        return Answer(status=200, body=_json(content))

    def add(path: str, read: Read) -> None:
        shared = Shared(lambda: ask(read))

        def endpoint(request: Request) -> Response:
            answer = shared.get(anew=NO_CACHE in request.headers.get("cache-control", ""))
            return Response(answer.body, answer.status, {"Cache-Control": "no-store"}, media_type="application/json")

        routes.add_api_route(path, endpoint)

    add("/fleet", read_fleet)
    add("/code", read_code)
    add("/history", read_history)
    add("/costs", read_costs)
    return routes


def _json(content: Any) -> str:
    # ASCII only: text in the registry may hold characters that UTF-8 cannot encode (a lone surrogate).
    return json.dumps(content, allow_nan=False, separators=(",", ":"))
