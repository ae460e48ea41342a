"""Runs a DAG on a stack that sends events and lineage and copies task logs; writes what arrived, and what it costs.

Usage: python -m tests.acceptance.events.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project import paths
from project.waiting import wait_until
from tests.support.otlp_server import Receiver, otlp_server
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
DAG = "followed"
ENDED = ("failed", "success")
RECEIVER, KEY, ALL = "lineage-receiver", "the-key-of-the-receiver", "all tasks"
RECEIVER_ARN = f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{RECEIVER}"
COSTS_TIMEOUT_S = 180
TRIES = 4  # of the run's three tasks, one of which is tried twice
PARSE_TIMEOUT_S, RUN_TIMEOUT_S, ARRIVAL_TIMEOUT_S = 120, 240, 60


def main(results: Path) -> None:
    """Bring the stack up, run the DAG, write the events and what the tasks logged."""
    source = image_with(DAGS, "events-image")
    given = {"EventBus": "default", "TaskLogCopy": "all", "OtlpSecretArn": f"aws,lineage={RECEIVER_ARN}"}
    with (
        otlp_server() as receiver,
        up(say, warn=say, source=source, overrides=given, secrets={RECEIVER: _secret(receiver.url)}) as stack,
    ):
        queue = _follow(stack)
        with contextlib.closing(Airflow(stack.webserver_url, user=ADMIN, password=stack.password)) as airflow:
            airflow.wait_for_dag(DAG, timeout_s=PARSE_TIMEOUT_S)
            run = airflow.trigger(DAG, {})
            wait_until(lambda: airflow.run_state(DAG, run) in ENDED, what=DAG, timeout_s=RUN_TIMEOUT_S)
            received: list[dict[str, Any]] = []
            wait_until(
                lambda: _has_end(stack, queue, received, run=run), what="the run's end", timeout_s=ARRIVAL_TIMEOUT_S
            )
            wait_until(lambda: _is_told(receiver), what="the lineage", timeout_s=ARRIVAL_TIMEOUT_S)
            say("what the run costs is added up each minute")
            wait_until(lambda: _is_counted(airflow), what="the costs of the run", timeout_s=COSTS_TIMEOUT_S)
            instances = airflow.task_instances(DAG, run)
            found = {
                "run": run,
                "state": airflow.run_state(DAG, run),
                "site": stack.webserver_url,
                "received": received,
                "logs": {each["task_id"]: airflow.log(each) for each in instances},
                "refused": stack.refusals.seen(),
                "copied": _copied(),
                "lineage": [json.loads(body) for body in receiver.bodies],
                "keys": sorted({headers.get("Authorization", "") for headers in receiver.headers}),
                "logged": [str(path) for path in paths.LOGS.rglob("*.log") if KEY in path.read_text(errors="replace")],
                "costs": _costs(airflow),
            }
    results.write_text(json.dumps(found, indent=2))


def _secret(url: str) -> str:
    return json.dumps({"endpoint": url, "headers": {"Authorization": f"Bearer {KEY}"}})


def _is_told(receiver: Receiver) -> bool:
    """Return whether the end of the last task has arrived."""
    found = [json.loads(body) for body in receiver.bodies]
    return any((each["job"]["name"], each["eventType"]) == (f"{DAG}.last", "COMPLETE") for each in found)


def _costs(airflow: Airflow) -> dict[str, dict[str, Any]]:
    """Return the rows of DAGs of each period, by their names, with the row of all tasks as ALL."""
    told = airflow.call("GET", "/fleet/api/costs")
    return {
        period["name"]: {ALL: period["all"], **{row["name"]: row for row in period["dags"]}}
        for period in told["periods"]
    }


def _is_counted(airflow: Airflow) -> bool:
    """Return whether all tries of the run are counted: a sum may have been made in the middle of it."""
    return all(rows.get(DAG, {}).get("tasks", 0) >= TRIES for rows in _costs(airflow).values())


def _follow(stack: Stack) -> str:
    """Make a rule for this stack's events, and the queue that is its target; return the queue."""
    clients = stack.clients
    queue = str(clients.sqs.create_queue(QueueName="changes")["QueueUrl"])
    arn = clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["airflow-on-ecs"], "detail": {"dag_id": [DAG]}}
    clients.events.put_rule(Name="changes", EventPattern=json.dumps(pattern))
    clients.events.put_targets(Rule="changes", Targets=[{"Id": "queue", "Arn": arn}])
    return queue


def _has_end(stack: Stack, queue: str, received: list[dict[str, Any]], *, run: str) -> bool:
    """Receive what there is; return whether the run's end is among all that was received."""
    while messages := stack.clients.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            received.append(json.loads(message["Body"]))
            stack.clients.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    details = [event["detail"] for event in received]
    return any(each["run_id"] == run and "task_id" not in each and each["state"] in ENDED for each in details)


def _copied() -> list[dict[str, Any]]:
    """Return the lines of task logs among all that the runners have written, which the log driver takes on AWS."""
    texts = (path.read_text(errors="replace") for path in paths.LOGS.glob("*/runner-*.log"))
    lines = (line for text in texts for line in text.splitlines() if line.startswith('{"log": "airflow-task"'))
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    perform(main)
