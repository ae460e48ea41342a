"""Runs a task that needs what a demonstration does not, then takes actions from roles, and writes what the stack says.

Usage: python -m tests.acceptance.iam.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from fleet.registry import decisions_key
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import DEFAULT_POOL, Stack, up
from ops.deployed import LOCAL, find_stack
from ops.drill.__main__ import drill
from project import paths
from project.errors import CommandError
from project.physical_names import shorten_names
from project.waiting import wait_until
from tests.support.function_role import lacks, without_action
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
DAG = "deferring"
ENDED = ("success", "failed")
POLICY = "permissions"  # of stack.lib.iam.add_role
PARSE_TIMEOUT_S = 120
RUN_TIMEOUT_S = 240  # the first request to the Execution API may take most of a minute
TOLD_TIMEOUT_S = 60
# What the UI shows in place of a log. S3 answers a HEAD without a body, and so without the name of the action.
UNREADABLE_LOG = "error: An error occurred (403) when calling the HeadObject operation: Forbidden"


def main(results: Path) -> None:
    """Bring the stack up, use it, take actions away, write the results."""
    with up(say, warn=say, source=image_with(DAGS, "iam-image")) as stack:
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            airflow.wait_for_dag(DAG, timeout_s=PARSE_TIMEOUT_S)
            _run(airflow)
            _rotate_the_databases_password(stack)
            instance = _run(airflow)
            found = {
                "log": airflow.log(instance),
                "cleaned": _clean(stack),
                "drill": _drill(stack),
                "refused": stack.refusals.seen(),
                "told": _take_away(stack, airflow, instance),
            }
            # Only now: after an upload that failed, a worker asks whether there is a log already.
            found["used"] = {shorten_names(role): actions for role, actions in stack.refusals.used().items()}
    results.write_text(json.dumps(found, indent=2))


def _run(airflow: Airflow) -> dict[str, Any]:
    """Run the DAG; return its task's instance. Raises CommandError when it fails."""
    say("a task defers")
    run = _patiently(lambda: airflow.trigger(DAG, {}))

    def has_ended() -> bool:
        return _patiently(lambda: airflow.run_state(DAG, run)) in ENDED

    wait_until(has_ended, what=f"run of {DAG}", timeout_s=RUN_TIMEOUT_S)
    (instance,) = airflow.task_instances(DAG, run)
    if instance["state"] != "success":
        raise CommandError(f"the task did not succeed: {airflow.log(instance)[-2000:]}")
    return instance


def _patiently(call: Callable[[], str]) -> str:
    """Return what a call returns that may fail while the database is away."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while True:
        try:
            return call()
        except (CommandError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _rotate_the_databases_password(stack: Stack) -> None:
    """Do it as RDS does, and end every session: a new one needs the new password, which only the secret has."""
    say("the database's password is rotated")
    credentials = json.loads(stack.secret("DatabaseSecretArn"))
    credentials["password"] = secrets.token_hex(12)
    server, arn = stack.database_server, stack.outputs["DatabaseSecretArn"]
    server.provision(credentials["username"], credentials["password"], stack.outputs["DatabaseName"])
    stack.clients.secretsmanager.put_secret_value(SecretId=arn, SecretString=json.dumps(credentials))
    server.restart()


def _clean(stack: Stack) -> dict[str, Any]:
    """Start the ECS task that cleans the database, as its schedule does; return its exit code and what it says."""
    say("the database is cleaned")
    cluster, arn = stack.outputs["ClusterName"], stack.schedules.run(stack.outputs["CleanScheduleName"])

    def ended() -> dict[str, Any]:
        (task,) = stack.clients.ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"]
        return dict(task) if task["lastStatus"] == "STOPPED" else {}

    wait_until(lambda: bool(ended()), what="end of the cleaning", timeout_s=RUN_TIMEOUT_S)
    (log,) = paths.LOGS.glob(f"*/clean-{arn.rpartition('/')[2][:8]}.log")
    return {"exit_code": ended()["containers"][0].get("exitCode"), "log": log.read_text()}


def _drill(stack: Stack) -> dict[str, Any]:
    """Carry out a drill, as `make drill ENV=local` does; return its exit code, its lines and the databases left."""
    say("a backup is tried out")
    lines: list[str] = []
    code = drill(find_stack(LOCAL), is_local=True, seconds=RUN_TIMEOUT_S, say=lines.append)
    left = [each["DBInstanceIdentifier"] for each in stack.clients.rds.describe_db_instances()["DBInstances"]]
    return {"exit_code": code, "lines": lines, "left": left}


def _take_away(stack: Stack, airflow: Airflow, instance: dict[str, Any]) -> dict[str, str]:
    """Take one action at a time from a role; return the line that tells of it by role, empty without one."""
    told = {}
    with _without(stack, "AutoscalerRole", "ecs:DescribeServices"):
        told["AutoscalerRole"] = _line(lambda: _decisions(stack), lacks("ecs:DescribeServices"))
    with _without(stack, "WorkerTaskRole", "s3:PutObject"):
        _run(airflow)
        told["WorkerTaskRole"] = _line(_runners_output, lacks("s3:PutObject"))
    with _without(stack, "AirflowTaskRole", "s3:GetObject"):
        told["AirflowTaskRole"] = _line(lambda: airflow.log(instance), UNREADABLE_LOG)
    return told


@contextlib.contextmanager
def _without(stack: Stack, title: str, action: str) -> Iterator[None]:
    """Take an action from the role with this logical id for a moment."""
    say(f"{title} loses {action}")
    iam = stack.clients.iam
    pages = iam.get_paginator("list_roles").paginate()
    names = (str(role["RoleName"]) for page in pages for role in page["Roles"])
    (role,) = (name for name in names if shorten_names(name) == title)
    before = iam.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]
    after = without_action(before, action)
    iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=json.dumps(after))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=json.dumps(before))


def _decisions(stack: Stack) -> str:
    raw: Any = stack.broker.lrange(decisions_key(DEFAULT_POOL), 0, 0)
    return "\n".join(record.decode() for record in raw)


def _runners_output() -> str:
    return "\n".join(path.read_text(errors="replace") for path in paths.LOGS.glob("*/runner-*.log"))


def _line(read: Callable[[], str], words: str) -> str:
    """Return the first line with these words, once there is one."""
    deadline = time.monotonic() + TOLD_TIMEOUT_S
    while time.monotonic() < deadline:
        for line in read().splitlines():
            if words in line:
                return line
        time.sleep(1)
    return ""


if __name__ == "__main__":
    perform(main)
