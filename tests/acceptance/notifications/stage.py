"""Runs the DAGs of docs/notifications.md, and one with large XComs; writes what arrived at SES, SNS, webhooks and S3.

Usage: python -m tests.acceptance.notifications.stage RESULTS
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project import paths
from project.errors import CommandError
from project.waiting import wait_until
from stack.render import render
from stack.sections.pools import DeclaredPool
from template_gen import build
from tests.support.staged import image_with, perform, say

DAGS = Path(__file__).parent / "dags"
PAGE = paths.ROOT / "docs" / "notifications.md"
LOUD = DeclaredPool(
    name="worker", queues=("default",), publishes=("alerts",), concurrency=4, cpu="256", memory_mib="1024"
)
POOLS = (LOUD, replace(LOUD, name="quiet", queues=("quiet",), publishes=()))
PREFIX = "airflow/local"
SENDER = "airflow@example.com"
TOKEN = "T000/B000/a-secret-of-the-webhook"
FAILING = ("mailing", "publishing", "refused", "slacking", "teaming", "whole")
TOPICS = ("alerts", "dags")
LATE, CROSSING = "late", "crossing"
THRESHOLD_KIB = "64"
ENDED = ("failed", "success")
STACK = "airflow-local"
PARSE_TIMEOUT_S, RUN_TIMEOUT_S, ARRIVAL_TIMEOUT_S = 120, 240, 60


@dataclass
class Webhook:
    """What was posted, by path."""

    posted: dict[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        """Serve until the block ends; yield the URL."""
        posted = self.posted

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted[self.path] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def main(results: Path) -> None:
    """Bring the stack up, let the DAGs fail, write what arrived."""
    source = image_with(DAGS, "notifications-image")
    for name, text in examples().items():
        (source / "dags" / f"{name}.py").write_text(text)
    given = {"MailFrom": SENDER, "ConnectionsPrefix": PREFIX, "QuietMin": "1", "XComThresholdKib": THRESHOLD_KIB}
    given["AirflowTopicArns"] = "arn:aws:sns:us-east-1:123456789012:dags"
    webhook = Webhook()
    template = render(build(POOLS))
    with webhook.serve() as url, up(say, warn=say, source=source, template=template, overrides=given) as stack:
        queue = _prepare(stack, url)
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow):
            for dag in (*FAILING, LATE, CROSSING):
                airflow.wait_for_dag(dag, timeout_s=PARSE_TIMEOUT_S)
            late, crossing = airflow.trigger(LATE, {}), airflow.trigger(CROSSING, {})
            found: dict[str, Any] = {"logs": _run(airflow)}
            wait_until(lambda: len(_mails()) > 1, what="mail about a deadline", timeout_s=ARRIVAL_TIMEOUT_S)
            found["late"] = late
            found["crossing"] = _crossing(stack, airflow, crossing)
        received = _received(stack, queue)
        found |= {
            "mails": _mails(),
            "topics": received,
            "posted": webhook.posted,
            "refused": stack.refusals.seen(),
            "site": stack.webserver_url,
        }
    results.write_text(json.dumps(found, indent=2))


def examples() -> dict[str, str]:
    """Return the DAG files of the page by their DAGs. The deadline of half an hour is one of two seconds here."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    named = {match.group(1): text for text in blocks if (match := re.search(r"^(\w+)\(\)$", text, re.MULTILINE))}
    named[LATE] = named[LATE].replace("timedelta(minutes=30)", "timedelta(seconds=2)")
    return named


def _prepare(stack: Stack, url: str) -> str:
    """Make the team's topics and the secrets of the webhooks; return the queue that gets the topics' messages."""
    clients = stack.clients
    queue = str(clients.sqs.create_queue(QueueName="alerts")["QueueUrl"])
    arn = clients.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for name in TOPICS:
        topic = clients.sns.create_topic(Name=name)["TopicArn"]
        clients.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for name in ("slack", "teams"):
        connection = {"conn_type": "http", "host": f"{url}/{name}/{TOKEN}"}
        clients.secretsmanager.create_secret(Name=f"{PREFIX}/connections/{name}", SecretString=json.dumps(connection))
    return queue


def _received(stack: Stack, queue: str) -> dict[str, Any]:
    """Return the message of each topic, by its name, once each has one."""
    found: dict[str, Any] = {}

    def has_all() -> bool:
        answer = stack.clients.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        for message in (json.loads(each["Body"]) for each in answer.get("Messages", [])):
            found[message["TopicArn"].rpartition(":")[2]] = message
        return found.keys() == set(TOPICS)

    wait_until(has_all, what="message of each topic", timeout_s=ARRIVAL_TIMEOUT_S)
    return found


def _run(airflow: Airflow) -> dict[str, str]:
    """Run the DAGs that fail; return the logs of their tasks."""
    runs = {dag: airflow.trigger(dag, {}) for dag in FAILING}
    logs = {}
    for dag, run in runs.items():
        wait_until(lambda: airflow.run_state(dag, run) in ENDED, what=dag, timeout_s=RUN_TIMEOUT_S)  # noqa: B023
        if airflow.run_state(dag, run) != "failed":
            raise CommandError(f"{dag} did not fail")
        (instance,) = airflow.task_instances(dag, run)
        logs[dag] = airflow.log(instance)
    return logs


def _crossing(stack: Stack, airflow: Airflow, run: str) -> dict[str, Any]:
    """Wait for the run; return the logs of who read, the XComs as the UI shows them, and the objects in the bucket."""
    wait_until(lambda: airflow.run_state(CROSSING, run) in ENDED, what=CROSSING, timeout_s=RUN_TIMEOUT_S)
    instances = airflow.task_instances(CROSSING, run)
    headers = {"Authorization": f"Bearer {airflow.token}"}
    tasks = f"{stack.webserver_url}/api/v2/dags/{CROSSING}/dagRuns/{run}/taskInstances"
    shown = {
        task: httpx.get(f"{tasks}/{task}/xcomEntries/return_value", headers=headers, trust_env=False).json()["value"]
        for task in ("large", "small")
    }
    found = stack.clients.cloudformation.describe_stack_resource(StackName=STACK, LogicalResourceId="XComBucket")
    bucket = found["StackResourceDetail"]["PhysicalResourceId"]
    objects = stack.clients.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        "state": airflow.run_state(CROSSING, run),
        "logs": {each["task_id"]: airflow.log(each) for each in instances if each["task_id"] in ("read", "collect")},
        "shown": shown,
        "bucket": bucket,
        "objects": {each["Key"]: each["Size"] for each in objects},
    }


def _mails() -> list[dict[str, str]]:
    found = []
    for path in sorted(paths.MAIL.glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        (part,) = message.iter_parts()
        found.append({**{name: str(message[name]) for name in ("From", "To", "Subject")}, "html": part.get_content()})
    return found


if __name__ == "__main__":
    perform(main)
