"""A container's health check: ECS replaces the container when it fails several times in a row."""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent import heartbeat, variables
from agent.addresses import address_within, own_address
from agent.runner import running
from roles import database
from roles.password import rotation_of

TIMEOUT_S = 5.0
# Airflow's jobs beat every 5 s; its own pages call one unhealthy after 30 s.
LONGEST_SILENCE_S = 90.0
# A scheduler that is silent for so long loses its tasks to another one, by Airflow's default.
SCHEDULER_SILENCE_S = 30.0
# A tick of the agent takes some seconds at most, with Redis and ECS both away.
LONGEST_PAUSE_S = 120.0
# The forecaster ticks each minute, and a tick takes some 30 s at most, with the database or Redis away.
LONGEST_TICK_S = 180.0
# Events are sent each five seconds, without their indexes each minute; a call that is repeated takes a minute.
LONGEST_SENDING_S = 300.0
HEARTBEAT = """
    SELECT extract(epoch FROM now() - max(latest_heartbeat)) FROM job
    WHERE job_type = %s AND hostname = %s AND state = 'running'
"""

Given = Mapping[str, str]


class Unhealthy(Exception):
    """The container does not work; the message says why."""


def check(role: str, given: Given) -> None:
    """Raise Unhealthy if the container of that role with the environment `given` does not work.

    Raises KeyError for an unknown role. A container that waits for its turn in a deployment is healthy: ECS would
    otherwise end the task.
    """
    waits_s = heartbeat.age_s(given, heartbeat.WAITING)
    if waits_s is None or waits_s > LONGEST_PAUSE_S:
        CHECKS[role](given)


def main(role: str) -> int:
    """Return 0 if this container is healthy, else 1 after one line that says why not."""
    try:
        check(role, os.environ)
    except Unhealthy as error:
        sys.stderr.write(f"unhealthy: {error}\n")
        return 1
    return 0


def _webserver(given: Given) -> None:
    """Check one request of each kind: a page, the REST API, the Execution API.

    Of what the REST API reports, check the database only: it always answers 200, and its other parts concern other
    containers.
    """
    _get(given, "/execution/health")
    _get(given, "/", port="PUBLIC_PORT")
    try:
        status = json.loads(_get(given, "/api/v2/monitor/health", port="PUBLIC_PORT"))["metadatabase"]["status"]
    except (ValueError, KeyError, TypeError):
        raise Unhealthy("the webserver's answer does not give the database's status") from None
    if status != "healthy":
        raise Unhealthy(f"the webserver reports its database as {status}")


def _flower(given: Given) -> None:
    answer = _get(given, "/healthcheck").strip()
    if answer != b"OK":
        raise Unhealthy("flower does not answer OK")


def _worker(given: Given) -> None:
    """Check the heartbeats of the fleet agent and of the runner, unless tasks run.

    Without the agent a worker neither drains nor stays protected, without the runner it runs no task. But ECS stops an
    unhealthy worker whatever protection it holds. One whose agent hangs takes no more tasks (see
    FleetAgent.command_now), and is unhealthy when they have ended.

    Redis and the database are deliberately not checked: they may be away for any time.
    """
    if running.is_any(Path(given[variables.SHARED_FOLDER])):
        return
    _require_heartbeat("fleet agent", heartbeat.age_s(given, heartbeat.AGENT), longest_s=LONGEST_PAUSE_S)
    _require_heartbeat("runner", heartbeat.age_s(given, heartbeat.RUNNER), longest_s=LONGEST_PAUSE_S)


def _forecaster(given: Given) -> None:
    """Check the forecaster's heartbeat only: when Redis or the database is away, a new container would not help."""
    _require_heartbeat("forecaster", heartbeat.age_s(given, heartbeat.FORECASTER), longest_s=LONGEST_TICK_S)


def _events(given: Given) -> None:
    """Check its heartbeat only, as the forecaster's."""
    _require_heartbeat("events", heartbeat.age_s(given, heartbeat.EVENTS), longest_s=LONGEST_SENDING_S)


def _job(job_type: str, *, longest_s: float = LONGEST_SILENCE_S) -> Callable[[Given], None]:
    """Return the check of the heartbeat that this container's job of that type writes into Airflow's database.

    The job's main loop writes it, so a loop that hangs is found.
    """

    def beats(given: Given) -> None:
        _require_heartbeat(job_type, _heartbeat_age_s(given, job_type=job_type), longest_s=longest_s)

    return beats


def _require_heartbeat(whose: str, age_s: float | None, *, longest_s: float) -> None:
    if age_s is None or age_s > longest_s:
        since = "since the container started" if age_s is None else f"for {age_s:.0f} s"
        raise Unhealthy(f"{whose} heartbeat missing {since}")


def _heartbeat_age_s(given: Given, *, job_type: str) -> float | None:
    how: dict[str, Any] = {
        "host": given["DATABASE_HOST"],
        "port": given["DATABASE_PORT"],
        "dbname": given["DATABASE_NAME"],
        **database.tls(given),
        "user": given["DATABASE_USER"],
        "password": given["DATABASE_PASSWORD"],
        "connect_timeout": int(TIMEOUT_S),
    }
    rotation = rotation_of(given)
    import psycopg2

    try:
        if rotation is None:
            connection = psycopg2.connect(**how)
        else:
            connection = rotation.connect(psycopg2.connect, refusals=(psycopg2.OperationalError,), **how)
        try:
            with connection.cursor() as cursor:
                cursor.execute(HEARTBEAT, (job_type, own_address()))
                (age_s,) = cursor.fetchone()
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise Unhealthy(f"the database does not answer ({type(error).__name__})") from None
    return None if age_s is None else float(age_s)


def _get(given: Given, path: str, *, port: str = "PORT") -> bytes:
    url = f"http://{address_within(given)}:{given[port]}{path}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            raise Unhealthy(f"{path} answers HTTP {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"{path} does not answer ({type(error).__name__})") from None


CHECKS: Mapping[str, Callable[[Given], None]] = {
    "webserver": _webserver,
    "scheduler": _job("SchedulerJob", longest_s=SCHEDULER_SILENCE_S),
    "dag-processor": _job("DagProcessorJob"),
    "triggerer": _job("TriggererJob"),
    "forecaster": _forecaster,
    "events": _events,
    "worker": _worker,
    "flower": _flower,
}
