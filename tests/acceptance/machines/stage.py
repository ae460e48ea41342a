"""Lets a job with a provider's token and an IAM role run a DAG by the REST API of a local stack.

Usage: python -m tests.acceptance.machines.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project import paths
from project.waiting import wait_until
from tests.acceptance.machines.clients import Clients, install
from tests.support.openid_provider import OpenIdProvider
from tests.support.staged import perform, say

DAG = "hello"
MAPPED, STRANGER = "deployer", "stranger"
ACCOUNT = "123456789012"
CLIENT = paths.ROOT / "docs" / "examples" / "airflow_token.py"
ENDED = ("success", "failed")
PARSE_TIMEOUT_S = 120
RUN_TIMEOUT_S = 240
TIMEOUT_S = 60.0


def main(results: Path) -> None:
    """Bring the stack up, run the DAG in four ways, write what was answered."""
    provider = OpenIdProvider()
    say("installing Airflow's own clients")
    clients = install(results.parent)
    lines = (
        f"Op: issuer={provider.issuer} repository=acme/dags ref=refs/heads/main",
        f"Op: aws=arn:aws:iam::{ACCOUNT}:role/{MAPPED}",
    )
    with (
        contextlib.closing(provider),
        up(say, warn=say, overrides={"MachineRoles": "\n".join(lines)}) as stack,
    ):
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            airflow.wait_for_dag(DAG, timeout_s=PARSE_TIMEOUT_S)
            airflow.unpause(DAG)
            found = {**_by_token(stack, provider, clients), **_by_aws(stack)}
            events = httpx.get(
                f"{stack.webserver_url}/api/v2/eventLogs",
                params={"event": "trigger_dag_run", "dag_id": DAG},
                headers={"Authorization": f"Bearer {airflow.token}"},
                timeout=TIMEOUT_S,
            )
            found["owners"] = sorted(entry["owner"] for entry in events.raise_for_status().json()["event_logs"])
    results.write_text(json.dumps({**found, "issuer": provider.issuer}, indent=2))


def _by_token(stack: Stack, provider: OpenIdProvider, clients: Clients) -> dict[str, Any]:
    say("a job runs the DAG with its provider's token")
    job = {"aud": stack.outputs["MachineAudience"], "repository": "acme/dags", "sub": "repo:acme/dags:main"}

    def exchange(**claims: Any) -> httpx.Response:
        token = provider.token(**{**job, "ref": "refs/heads/main", **claims})
        return httpx.post(f"{stack.webserver_url}/machines/token", json={"token": token}, timeout=TIMEOUT_S)

    given, refused = exchange(), exchange(ref="refs/heads/other", sub="repo:acme/dags:other")
    token = given.json()["access_token"]
    return {
        "by_token": _run(stack, token),
        **_by_clients(stack, token, clients),
        "job_not_mapped": [refused.status_code, refused.json()["detail"]],
    }


def _by_clients(stack: Stack, token: str, clients: Clients) -> dict[str, Any]:
    say("the job runs the DAG with Airflow's own clients")
    url = stack.webserver_url
    by_airflowctl = clients.by_airflowctl(url, token, DAG)
    by_python, _ = clients.by_python(url, token, DAG)
    return {
        "by_airflowctl": _end(lambda: clients.state_by_airflowctl(token, DAG, by_airflowctl), run=by_airflowctl),
        "by_python": _end(lambda: clients.by_python(url, token, DAG, by_python)[1], run=by_python),
    }


def _by_aws(stack: Stack) -> dict[str, Any]:
    say("an IAM role runs the DAG")
    audience = stack.outputs["MachineAudience"]
    mapped, stranger = (_environment(stack, role) for role in (MAPPED, STRANGER))
    command = [sys.executable, str(CLIENT), stack.webserver_url, audience, stack.clients.region]
    done = subprocess.run(command, env=mapped, capture_output=True, text=True, check=True)
    refused = subprocess.run(command, env=stranger, capture_output=True, text=True, check=False)
    return {
        "by_aws": _run(stack, done.stdout.strip()),
        "role_not_mapped": [refused.returncode, "HTTP Error 403" in refused.stderr],
    }


def _environment(stack: Stack, role: str) -> dict[str, str]:
    """Return the environment of a program that runs with a new role of this name."""
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = stack.clients.iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    given = stack.clients.sts.assume_role(RoleArn=arn, RoleSessionName="job")["Credentials"]
    return {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": stack.clients.endpoint,
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def _run(stack: Stack, token: str) -> str:
    """Run the DAG as the token's machine; return the state in which the run ends."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.webserver_url, headers=headers, timeout=TIMEOUT_S) as client:
        path = f"/api/v2/dags/{DAG}/dagRuns"
        run = client.post(path, json={"logical_date": None}).raise_for_status().json()["dag_run_id"]
        return _end(lambda: str(client.get(f"{path}/{run}").raise_for_status().json()["state"]), run=run)


def _end(ask: Callable[[], str], *, run: str) -> str:
    """Ask for the run's state until it has ended; return the last one."""
    state = ""

    def has_ended() -> bool:
        nonlocal state
        time.sleep(1)
        state = ask()
        return state in ENDED

    wait_until(has_ended, what=f"the end of {run}", timeout_s=RUN_TIMEOUT_S)
    return state


if __name__ == "__main__":
    perform(main)
