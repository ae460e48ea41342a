"""The webserver's answer to why a task waits or died, for those who may see the DAG's task instances."""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections.abc import Callable
from typing import Any

import redis
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.dagbag import create_dag_bag
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, FastAPI, Response
from sqlalchemy.exc import SQLAlchemyError

from agent import variables
from agent.broker import Outage, connect
from agent.dag_access import may_see_tasks
from agent.why import fleet_reading
from agent.why.around import Key
from agent.why.database import read
from agent.why.facts import Known, Recorded
from agent.why.telling import tell
from fleet.pools import POOLS, Pool, read_pools

log = logging.getLogger(__name__)

PATH = "/api/why/{dag_id}/{run_id}/{task_id}"
NOT_MAPPED = -1


class Reader:
    """Reads what is known of task instances, with one connection to the broker and one cache of DAGs."""

    def __init__(self, pools: tuple[Pool, ...]) -> None:
        self._pools = pools
        self._heartbeat_timeout_s = conf.getfloat("scheduler", "task_instance_heartbeat_timeout")

    @functools.cached_property
    def _client(self) -> redis.Redis:
        return connect(os.environ[variables.READER_URL])

    @functools.cached_property
    def _dags(self) -> Any:
        return create_dag_bag()

    def known(self, key: Key, *, may_see: Callable[[str], bool], now: Callable[[], float]) -> Known | None:
        """Return what is known; None without such a task instance. Raises SQLAlchemyError."""
        with create_session() as session:
            recorded = read(session, key, dag_bag=self._dags, may_see=may_see)
            session.rollback()  # nothing of this is to be written
        return None if recorded is None else self._with_fleet(recorded, now())

    def _with_fleet(self, recorded: Recorded, now: float) -> Known:
        queue = recorded.instance.queue
        return Known(
            **vars(recorded),
            now=now,
            fleet=fleet_reading.read_fleet(self._client, self._pools, queue),
            ends=fleet_reading.read_ends(self._client, self._pools, queue, recorded.instance.tries),
            heartbeat_timeout_s=self._heartbeat_timeout_s,
        )


def add_why(app: FastAPI) -> None:
    """Add the route to the application."""
    app.include_router(_routes(Reader(read_pools(os.environ[POOLS]))))


def _routes(reader: Reader) -> APIRouter:
    routes = APIRouter()
    outage = Outage("the story of a task cannot be read from Airflow's database", log)

    def why(dag_id: str, run_id: str, task_id: str, user: GetUserDep, map_index: int = NOT_MAPPED) -> Response:
        key = Key(dag=dag_id, run=run_id, task=task_id, map_index=map_index)
        try:
            known = reader.known(key, may_see=functools.partial(may_see_tasks, user), now=time.time)
        except SQLAlchemyError as error:
            outage.begin(type(error).__name__)  # a database's message may hold values
            return _answer({"detail": "Airflow's database cannot be read."}, status=503)
        outage.end()
        if known is None:
            return _answer({"detail": "There is no such task instance."}, status=404)
        instance = known.instance
        story = {"read_at": known.now, "state": instance.state, "try_number": instance.attempt.number}
        return _answer({**story, **tell(known).to_record()}, status=200)

    may_see = Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.TASK_INSTANCE))
    routes.add_api_route(PATH, why, dependencies=[may_see])
    return routes


def _answer(content: Any, *, status: int) -> Response:
    # ASCII only: names may hold characters that UTF-8 cannot encode (a lone surrogate).
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store"}, media_type="application/json")
