"""Runs the DAG `mallory` on a local stack of its own, and writes what each attack achieved to a file.

Usage: python -m tests.acceptance.mallory.stage RESULTS
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from local.fargate.definition import resolve_secrets
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project.errors import CommandError
from project.waiting import wait_until
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
MODULES = ("processes", "files", "broker", "database", "api", "cloud")
MODULE_TIMEOUT_S = 400  # searches of memory take a minute on two busy cores
VICTIM_TIMEOUT_S = 240  # the first request to the Execution API may take most of a minute
DAEMON_S = 20  # api.AFTER_END_S, and what it needs to start and to report
PARSE_TIMEOUT_S = 120
ENDED = ("success", "failed")
# The kinds of secrets by the beginning of the variable that brings them into a container.
KINDS = {
    "DATABASE_PASSWORD": "database_password",
    "BROKER_PASSWORD": "broker_password",
    "FERNET_SECRET": "fernet_key",
    "API_SECRET": "api_key",
    "JWT_SECRET": "jwt_secret",
    "ADMIN_PASSWORD": "admin_password",
}
ARN_PARTS = 7


def main(results: Path) -> None:
    """Bring the stack up, run everything, write the results."""
    drop = Path(tempfile.mkdtemp(prefix="mallory-"))
    drop.chmod(0o777)  # containers have users of their own
    try:
        with up(say, warn=say, source=image_with(DAGS, "mallory-image")) as stack:
            found = _strike(stack, drop)
        results.write_text(json.dumps(found, indent=2))
    finally:
        shutil.rmtree(drop, ignore_errors=True)


def _strike(stack: Stack, drop: Path) -> dict[str, Any]:
    airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
    for dag in ("mallory", "victim"):
        airflow.wait_for_dag(dag, timeout_s=PARSE_TIMEOUT_S)
    victim = _victim(stack, airflow, drop)
    facts = _facts(stack, victim, drop)
    for module in MODULES:
        say(f"attacks of {module}")
        run = airflow.trigger("mallory", {"module": module, "facts": facts})
        with contextlib.suppress(CommandError):  # what it did not do is missing in the results
            wait_until(partial(_has_ended, airflow, run), what=module, timeout_s=MODULE_TIMEOUT_S)
        if airflow.run_state("mallory", run) != "success":
            (instance,) = airflow.task_instances("mallory", run)
            say(f"attacks of {module}: the task did not succeed: {airflow.log(instance)[-3000:]}")
    time.sleep(DAEMON_S)
    (drop / "release").touch()
    airflow.close()
    attacks = {path.stem: json.loads(path.read_text()) for path in sorted(drop.glob("*.json"))}
    return {"attacks": attacks, "unpickled": len(list(drop.glob("unpickled-*")))}


def _has_ended(airflow: Airflow, run: str) -> bool:
    return airflow.run_state("mallory", run) in ENDED


def _victim(stack: Stack, airflow: Airflow, drop: Path) -> dict[str, str]:
    """Start the victim; return its ids when one task has ended, one runs and one waits."""
    http = httpx.Client(
        base_url=stack.webserver_url, headers={"Authorization": f"Bearer {airflow.token}"}, trust_env=False, timeout=30
    )
    with http:
        password = secrets.token_hex(8)
        connection = {"connection_id": "victims", "conn_type": "http", "password": password}
        http.post("/api/v2/connections", json=connection).raise_for_status()
        http.post("/api/v2/variables", json={"key": "victims", "value": password}).raise_for_status()
    run = airflow.trigger("victim", {"drop": str(drop)})
    wanted = {"say": "success", "hold": "running", "never": None}

    def states() -> dict[str, str]:
        return {i["task_id"]: i["state"] for i in airflow.task_instances("victim", run)}

    wait_until(lambda: states() == wanted, what="start of the victim's tasks", timeout_s=VICTIM_TIMEOUT_S)
    time.sleep(2)  # the message is published a moment after the state is written
    ids = {i["task_id"]: str(i["id"]) for i in airflow.task_instances("victim", run)}
    return {"run_id": run, "connection": "victims", "variable": "victims", **ids}


def _facts(stack: Stack, victim: dict[str, str], drop: Path) -> dict[str, Any]:
    from roles.parts import fernet_key

    values, arns = _secrets(stack)
    known = {value: kind for kind, found in values.items() for value in found}
    known |= {fernet_key(value): kind for value, kind in known.items() if kind == "fernet_key"}
    ecs, outputs = stack.clients.ecs, stack.outputs
    services = [outputs[name] for name in ("AirflowServiceName", "WorkerServiceName", "FlowerServiceName")]
    tasks = {}
    for role, service in zip(("airflow", "worker", "flower"), services, strict=True):
        (tasks[role], *_) = ecs.list_tasks(cluster=outputs["ClusterName"], serviceName=service)["taskArns"]
    airflow, worker, _ = _definitions(stack)
    environment = {name: value for definition in _containers(stack) for name, value in _plain(definition).items()}
    return {
        "secrets": {hashlib.sha256(value.encode()).hexdigest(): kind for value, kind in known.items()},
        "lengths": sorted({len(value) for value in known}),
        "broker": (environment["BROKER_HOST"], int(environment["BROKER_PORT"])),
        "database": (environment["DATABASE_HOST"], int(environment["DATABASE_PORT"])),
        "webserver": stack.webserver_url,
        "bucket": outputs["LogBucketName"],
        "cluster": outputs["ClusterName"],
        "secret_arns": arns,
        "services": services,
        "functions": [_function_arn(stack)],
        "tasks": tasks,
        "definition": airflow["taskDefinitionArn"],
        "execution_role": worker["executionRoleArn"],
        "victim": victim,
        "drop": str(drop),
    }


def _function_arn(stack: Stack) -> str:
    functions = getattr(stack.clients, "lambda")
    found = functions.get_function(FunctionName=stack.outputs["AutoscalerFunctionName"])
    return str(found["Configuration"]["FunctionArn"])


def _definitions(stack: Stack) -> Iterator[dict[str, Any]]:
    for name in ("AirflowServiceName", "WorkerServiceName", "FlowerServiceName"):
        names = {"cluster": stack.outputs["ClusterName"], "services": [stack.outputs[name]]}
        (service,) = stack.clients.ecs.describe_services(**names)["services"]
        answer = stack.clients.ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        yield answer["taskDefinition"]


def _containers(stack: Stack) -> Iterator[dict[str, Any]]:
    for definition in _definitions(stack):
        yield from definition["containerDefinitions"]


def _plain(container: dict[str, Any]) -> dict[str, str]:
    return {e["name"]: e["value"] for e in container.get("environment") or ()}


def _secrets(stack: Stack) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Return the values of all secrets by kind, and the ARNs of those that attacks ask for."""
    values: dict[str, set[str]] = {}
    arns = {}
    for container in _containers(stack):
        given = {s["name"]: s["valueFrom"] for s in container.get("secrets") or ()}
        for name, value in resolve_secrets(given, stack.clients.secretsmanager).items():
            kind = next((kind for prefix, kind in KINDS.items() if name.startswith(prefix)), None)
            if kind is not None:
                values.setdefault(kind, set()).add(value)
                arns[kind.split("_")[0]] = ":".join(given[name].split(":")[:ARN_PARTS])
    return values, arns


if __name__ == "__main__":
    perform(main)
