"""Gives one image the settings of dev, then those of qa, while a task runs, and writes what changed and what did not.

Usage: python -m tests.acceptance.environments.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import httpx

from fleet.member import STOPPED
from local.stack import release, sam
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, outputs_of, up
from project import environments
from project.clients import environment
from project.errors import CommandError
from project.physical_names import shorten_names
from project.waiting import wait_until
from stack.render import render
from stack.sections.pools import DeclaredPool
from template_gen import build
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
BUCKET = "teams-lake"
POOLS = (
    DeclaredPool(name="worker", queues=("default",), concurrency=4, cpu="256", memory_mib="1024", max=3),
    DeclaredPool(name="lake", queues=("lake",), concurrency=4, cpu="256", memory_mib="1024", max=3),
)
# A policy of AWS's own, which exists before the stack: the whole of S3 to read.
READS = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
SERVICES = ("Airflow", "Worker", "Lake", "Flower")
ENDED = ("success", "failed")
PARSE_TIMEOUT_S, RUN_TIMEOUT_S, START_TIMEOUT_S = 120, 240, 120


def main(results: Path) -> None:
    """Bring the stack up as dev, deploy qa's settings and then another of tasks, write the results."""
    dev = overrides("dev", retries=1)
    source = image_with(DAGS, "environments-image")
    with up(say, warn=say, source=source, template=render(build(POOLS)), overrides=dev) as stack:
        s3 = stack.clients.s3
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="fish", Body=b"fish")
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            for dag in ("reading", "telling", "holding"):
                airflow.wait_for_dag(dag, timeout_s=PARSE_TIMEOUT_S)
            found: dict[str, Any] = {"logs": _logs(airflow, "reading"), "refused": stack.refusals.seen()}
            found["dev"] = _seen(stack, airflow)
            held = _hold(airflow)
            _deploy(stack, overrides("qa", retries=1), what="qa's settings")
            release.wait(stack.clients, cluster=stack.outputs["ClusterName"], report=say)
            found["qa"] = _seen(stack, airflow)
            _deploy(stack, overrides("qa", retries=3), what="another setting of tasks")
            found["told"] = _logs(airflow, "telling")
            found["later"] = _seen(stack, airflow)
            found["states"] = [_instance(airflow, held)["state"]]
            s3.put_object(Bucket=BUCKET, Key="release", Body=b"")
            _wait_for(airflow, "holding", held)
            found["held"] = {name: _instance(airflow, held)[name] for name in ("state", "try_number")}
            release.wait(stack.clients, cluster=stack.outputs["ClusterName"], report=say)
            found["end"] = _seen(stack, airflow)
            _deploy(stack, {**overrides("qa", retries=3), "FlowerEnabled": "false"}, what="a stack without Flower")
            found["without_flower"] = _without_flower(stack)
    results.write_text(json.dumps(found, indent=2))


def overrides(name: str, *, retries: int) -> dict[str, str]:
    """Return the local environment's parameters with the settings of another environment's file."""
    return {
        "AirflowSettings": environments.load(name).parameters["AirflowSettings"],
        "TaskSettings": f"AIRFLOW__CORE__DEFAULT_TASK_RETRIES={retries}\n",
        "LakePolicyArns": READS,
        "LakeMin": "1",
    }


def _deploy(stack: Stack, values: dict[str, str], *, what: str) -> None:
    say(f"deploying {what}")
    aws = environment(stack.clients.endpoint, stack.clients.region)
    deploying = sam.deploy("local", aws, overrides=values)
    try:
        deploying.wait()
    finally:
        deploying.kill()


def _seen(stack: Stack, airflow: Airflow) -> dict[str, Any]:
    """Return the ECS tasks of each service, the code that members report, and what the UI calls the environment."""
    ecs, outputs = stack.clients.ecs, stack.outputs
    members = [m for m in stack.registry.members().members if m.state != STOPPED]
    headers = {"Authorization": f"Bearer {airflow.token}"}
    answer = httpx.get(f"{stack.webserver_url}/ui/config", headers=headers, trust_env=False, timeout=30)
    definitions = {
        title: ecs.describe_services(cluster=outputs["ClusterName"], services=[outputs[f"{title}ServiceName"]])[
            "services"
        ][0]["taskDefinition"]
        for title in SERVICES
    }
    return {
        "tasks": {
            title: sorted(
                ecs.list_tasks(cluster=outputs["ClusterName"], serviceName=outputs[f"{title}ServiceName"])["taskArns"]
            )
            for title in SERVICES
        },
        "definitions": definitions,
        "code": sorted({f"{m.image_version} {m.dags_hash}" for m in members}),
        "instance_name": answer.json()["instance_name"],
        "site": stack.webserver_url,
    }


def _without_flower(stack: Stack) -> dict[str, Any]:
    """Return the names of the active services, the outputs, and what the version check says once it knows."""
    ecs, cluster = stack.clients.ecs, stack.outputs["ClusterName"]
    arns = ecs.list_services(cluster=cluster)["serviceArns"]
    services = ecs.describe_services(cluster=cluster, services=arns)["services"]
    return {
        "services": sorted(shorten_names(each["serviceName"]) for each in services if each["status"] == "ACTIVE"),
        "outputs": sorted(outputs_of(stack.clients, "airflow-local")),
        "refused": stack.refusals.seen(),
    }


def _hold(airflow: Airflow) -> str:
    """Start the task that runs until it is told; return its run once it runs."""
    run = airflow.trigger("holding", {})
    wait_until(lambda: _instance(airflow, run)["state"] == "running", what="start of a task", timeout_s=START_TIMEOUT_S)
    return run


def _instance(airflow: Airflow, run: str) -> dict[str, Any]:
    (instance,) = airflow.task_instances("holding", run)
    return instance


def _logs(airflow: Airflow, dag: str) -> dict[str, str]:
    """Run a DAG; return the logs of its tasks."""
    run = airflow.trigger(dag, {})
    _wait_for(airflow, dag, run)
    return {each["task_id"]: airflow.log(each) for each in airflow.task_instances(dag, run)}


def _wait_for(airflow: Airflow, dag: str, run: str) -> None:
    """Wait until a run has ended. Raises CommandError when it failed."""
    wait_until(lambda: airflow.run_state(dag, run) in ENDED, what=f"run of {dag}", timeout_s=RUN_TIMEOUT_S)
    if airflow.run_state(dag, run) != "success":
        logs = [airflow.log(each)[-1000:] for each in airflow.task_instances(dag, run)]
        raise CommandError(f"the run of {dag} failed: {logs}")


if __name__ == "__main__":
    perform(main)
