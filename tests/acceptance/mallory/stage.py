"""Runs the DAG `mallory` on a local stack of its own, and writes what each attack achieved to a file.

Usage: python -m tests.acceptance.mallory.stage RESULTS
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from local.cli import reaper
from local.fargate.definition import resolve_secrets
from local.scenarios.airflow import ADMIN, Airflow
from local.stack.up import Stack, up
from project import paths
from project.errors import CommandError
from project.waiting import wait_until

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
TAG_CONDITION = "aws:ResourceTag/"
Documents = list[dict[str, Any]]


def main(results: Path) -> None:
    """Bring the stack up, run everything, write the results."""
    drop = Path(tempfile.mkdtemp(prefix="mallory-"))
    drop.chmod(0o777)  # containers have users of their own
    source = paths.STATE / "mallory-image"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(paths.IMAGE_SOURCE, source)
    shutil.copytree(DAGS, source / "dags", dirs_exist_ok=True)
    try:
        with up(_say, warn=_say, source=source) as stack:
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
        _say(f"attacks of {module}")
        run = airflow.trigger("mallory", {"module": module, "facts": facts})
        with contextlib.suppress(CommandError):  # what it did not do is missing in the results
            wait_until(partial(_has_ended, airflow, run), what=module, timeout_s=MODULE_TIMEOUT_S)
        if airflow.run_state("mallory", run) != "success":
            (instance,) = airflow.task_instances("mallory", run)
            _say(f"attacks of {module}: the task did not succeed: {airflow.log(instance)[-3000:]}")
    time.sleep(DAEMON_S)
    (drop / "release").touch()
    airflow.close()
    attacks = {path.stem: json.loads(path.read_text()) for path in sorted(drop.glob("*.json"))}
    statements, tags = _policies(stack), _tags(stack)
    for result in attacks.values():
        _hold_against_policy(result, statements, tags)
    return {"attacks": attacks, "unpickled": len(list(drop.glob("unpickled-*")))}


def _has_ended(airflow: Airflow, run: str) -> bool:
    return airflow.run_state("mallory", run) in ENDED


def _victim(stack: Stack, airflow: Airflow, drop: Path) -> dict[str, str]:
    """Start the victim; return its ids when one task has ended, one runs and one failed in a queue of no pool."""
    http = httpx.Client(
        base_url=stack.webserver_url, headers={"Authorization": f"Bearer {airflow.token}"}, trust_env=False, timeout=30
    )
    with http:
        password = secrets.token_hex(8)
        connection = {"connection_id": "victims", "conn_type": "http", "password": password}
        http.post("/api/v2/connections", json=connection).raise_for_status()
        http.post("/api/v2/variables", json={"key": "victims", "value": password}).raise_for_status()
    run = airflow.trigger("victim", {"drop": str(drop)})
    wanted = {"say": "success", "hold": "running", "never": "failed"}

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


def _policies(stack: Stack) -> Documents:
    """Return the statements of the worker's task role."""
    (_, worker, _) = _definitions(stack)
    role, iam = worker["taskRoleArn"].rsplit("/", 1)[-1], stack.clients.iam
    documents = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        documents.append(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
    for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
        documents.append(found["PolicyVersion"]["Document"])
    statements = []
    for document in documents:
        parsed = json.loads(document) if isinstance(document, str) else document
        statements += _list(parsed["Statement"])
    return statements


def _tags(stack: Stack) -> dict[str, dict[str, str]]:
    """Return the tags of every ECS task, by its ARN: those that its service gives it."""
    found: dict[str, dict[str, str]] = {}
    cluster = stack.outputs["ClusterName"]
    for name in ("AirflowServiceName", "WorkerServiceName", "FlowerServiceName"):
        names = {"cluster": cluster, "services": [stack.outputs[name]], "include": ["TAGS"]}
        (service,) = stack.clients.ecs.describe_services(**names)["services"]
        tags = {tag["key"]: tag["value"] for tag in service["tags"]}
        listed = stack.clients.ecs.list_tasks(cluster=cluster, serviceName=stack.outputs[name])
        found |= dict.fromkeys(listed["taskArns"], tags)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _hold_against_policy(result: dict[str, Any], statements: Documents, tags: dict[str, dict[str, str]]) -> None:
    """Make an attack that needed a permission refused if the worker's role lacks it.

    Conditions on the tags of an ECS task are evaluated, all others count as met.
    """
    said = str(result["evidence"])
    if not said.startswith("iam:"):
        return
    action, resource = said.removeprefix("iam:").split(" ", 1)
    matching = [
        statement["Effect"]
        for statement in statements
        if any(fnmatchcase(action.lower(), each.lower()) for each in _list(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in _list(statement["Resource"]))
        and _has_tags(tags.get(resource, {}), statement.get("Condition", {}))
    ]
    if "Deny" in matching or "Allow" not in matching:
        result.update(outcome="refused", evidence=f"the task role does not allow {action} there")
    else:
        result.update(evidence=f"the task role allows {action} there")


def _has_tags(tags: dict[str, str], condition: dict[str, dict[str, str]]) -> bool:
    for operator in ("StringEquals", "StringEqualsIfExists"):
        for key, wanted in condition.get(operator, {}).items():
            if key.startswith(TAG_CONDITION):
                has = tags.get(key.removeprefix(TAG_CONDITION))
                if has != wanted and not (has is None and operator.endswith("IfExists")):
                    return False
    return True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, _interrupt)
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    reaper.adopt_orphans()
    try:
        main(Path(sys.argv[1]))
    finally:
        reaper.end_descendants()
