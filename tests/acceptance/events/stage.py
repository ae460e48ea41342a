"""Runs a DAG on a stack that sends events and copies task logs; writes what a rule's queue and the logs got.

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
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
DAG = "followed"
ENDED = ("failed", "success")
PARSE_TIMEOUT_S, RUN_TIMEOUT_S, ARRIVAL_TIMEOUT_S = 120, 240, 60


def main(results: Path) -> None:
    """Bring the stack up, run the DAG, write the events and what the tasks logged."""
    source = image_with(DAGS, "events-image")
    with up(say, warn=say, source=source, overrides={"EventBus": "default", "TaskLogCopy": "all"}) as stack:
        queue = _follow(stack)
        with contextlib.closing(Airflow(stack.webserver_url, user=ADMIN, password=stack.password)) as airflow:
            airflow.wait_for_dag(DAG, timeout_s=PARSE_TIMEOUT_S)
            run = airflow.trigger(DAG, {})
            wait_until(lambda: airflow.run_state(DAG, run) in ENDED, what=DAG, timeout_s=RUN_TIMEOUT_S)
            received: list[dict[str, Any]] = []
            wait_until(
                lambda: _has_end(stack, queue, received, run=run), what="the run's end", timeout_s=ARRIVAL_TIMEOUT_S
            )
            instances = airflow.task_instances(DAG, run)
            found = {
                "run": run,
                "state": airflow.run_state(DAG, run),
                "site": stack.webserver_url,
                "received": received,
                "logs": {each["task_id"]: airflow.log(each) for each in instances},
                "refused": stack.refusals.seen(),
                "copied": _copied(),
            }
    results.write_text(json.dumps(found, indent=2))


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
