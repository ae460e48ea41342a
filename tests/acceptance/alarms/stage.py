"""Makes each alarm on Airflow's work begin and end on a local stack; writes their states and what the topic received.

Usage: python -m tests.acceptance.alarms.stage RESULTS
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from agent.variables import ROLE
from fleet.registry import QUIET_KEY, WORK_KEY
from local.alarms.evaluate import ALARM, OK
from local.scenarios.faults.skew import CHECK_OUTPUT
from local.stack import live_dags
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project import paths
from project.waiting import wait_until
from tests.support.staged import perform, say

DAGS = Path(__file__).parent / "dags"
LIMITS = "WindowMinutes=1,TaskFailures=1,RunFailures=0,MissedIntervals=2,DelaySeconds=15,ParseSeconds=2"
# A minute of the alarms' periods. The report is renewed each 20 s, so an alarm over five periods sees one or two.
MINUTE_S = 4.0
CHECK_EVERY_S = 1.5
BEGINS_WITHIN_S, ENDS_WITHIN_S, PARSE_TIMEOUT_S = 150, 150, 120
WAITS_S = 75  # in the triggerer
# Without a cause of its own here, by what each is provoked.
BY_DAGS = (
    "AlarmImportErrors",
    "AlarmParseSlow",
    "AlarmRunFailures",
    "AlarmTaskFailures",
    "AlarmDagLate",
    "AlarmTriggererFull",
)
BY_A_STOPPED_SCHEDULER = ("AlarmSchedulingDelay", "AlarmComponentSilent", "AlarmSchedulerSilent")
BY_A_STOPPED_FORECASTER = ("AlarmWorkUnknown",)
ANY = "AlarmEnvironment"


def main(results: Path) -> None:
    """Bring the stack up, provoke and repair, write the results."""
    folder = paths.STATE / "alarm-dags"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DAGS, folder)
    settings = {**live_dags.settings(folder), "AIRFLOW__TRIGGERER__CAPACITY": "2"}
    given = {"WorkAlarmLimits": LIMITS}
    with up(say, warn=say, settings=settings, reveal=[folder], overrides=given, minute_s=MINUTE_S) as stack:
        observer = Observer(stack)
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        with contextlib.closing(airflow), observer.observing():
            for dag in ("failing", "stumbling", "waiting"):
                airflow.wait_for_dag(dag, timeout_s=PARSE_TIMEOUT_S)
            say("DAGs fail, do not import, parse slowly, are late and fill the triggerer")
            airflow.unpause("stumbling")
            failed = airflow.trigger("failing", {})
            airflow.trigger("waiting", {"seconds": WAITS_S})
            observer.wait_for(BY_DAGS, ALARM, within_s=BEGINS_WITHIN_S)
            say("the scheduler is stopped")
            with stopped("scheduler"):
                observer.wait_for(BY_A_STOPPED_SCHEDULER, ALARM, within_s=BEGINS_WITHIN_S)
            say("the forecaster is stopped")
            with stopped("forecaster"):
                stack.broker.delete(WORK_KEY)  # it would expire
                observer.wait_for(BY_A_STOPPED_FORECASTER, ALARM, within_s=BEGINS_WITHIN_S)
            say("everything is repaired")
            _repair(airflow, folder)
            everything = (*BY_DAGS, *BY_A_STOPPED_SCHEDULER, *BY_A_STOPPED_FORECASTER, ANY)
            observer.wait_for(everything, OK, within_s=ENDS_WITHIN_S)
        found = {
            "states": observer.states,
            "messages": observer.messages,
            "failed": failed,
            "site": stack.webserver_url,
        }
        found["descriptions"] = observer.descriptions
        found["refused"] = stack.refusals.seen()
    results.write_text(json.dumps(found, indent=2))


def _repair(airflow: Airflow, folder: Path) -> None:
    airflow.store("variables", [{"key": "broken", "value": "no"}])
    (folder / "broken.py").write_text('"""No DAG of Airflow is in it any more."""\n')
    slow = folder / "slow.py"
    slow.write_text(slow.read_text().replace("time.sleep(4)", ""))


class Observer:
    """Runs the version check more often than its schedule; keeps each alarm's states and the topic's messages."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._clients = stack, stack.clients
        self._check = stack.rules.function(stack.outputs[CHECK_OUTPUT]).in_second_process()
        self._closing = threading.Event()
        self.states: dict[str, list[str]] = {}
        self.descriptions: dict[str, str] = {}
        self.messages: list[dict[str, Any]] = []
        self._queue = str(self._clients.sqs.create_queue(QueueName="alarms")["QueueUrl"])
        named = {"QueueUrl": self._queue, "AttributeNames": ["QueueArn"]}
        arn = self._clients.sqs.get_queue_attributes(**named)["Attributes"]["QueueArn"]
        self._clients.sns.subscribe(TopicArn=stack.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn)

    @contextlib.contextmanager
    def observing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join()
            self._check.close()

    def wait_for(self, titles: tuple[str, ...], state: str, *, within_s: float) -> None:
        """Wait until each alarm has had the state since the call, or has it."""
        begun = {title: len(self.states.get(title, ())) for title in titles}

        def open_ones() -> list[str]:
            return [t for t in titles if state not in (self.states.get(t) or [OK])[max(0, begun[t] - 1) :]]

        try:
            wait_until(lambda: not open_ones(), what="alarms", timeout_s=within_s)
        finally:
            if left := open_ones():
                say(f"not {state}: {', '.join(left)}; {json.dumps(self.states)}")
        say(f"{state}: {', '.join(titles)}")

    def _run(self) -> None:
        while not self._closing.wait(CHECK_EVERY_S):
            self._stack.broker.delete(QUIET_KEY)  # a message may come at any time, not each five minutes
            self._check.invoke({"ticks": 1})
            self._note()

    def _note(self) -> None:
        pages = self._clients.cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        for page in pages:
            for alarm in (*page["MetricAlarms"], *page["CompositeAlarms"]):
                title = _title(alarm["AlarmName"])
                seen = self.states.setdefault(title, [])
                if seen[-1:] != [alarm["StateValue"]]:
                    seen.append(alarm["StateValue"])
                    self.descriptions[title] = alarm["AlarmDescription"]
        answer = self._clients.sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self._clients.sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
            self.messages.append(json.loads(message["Body"]))


def _title(name: str) -> str:
    """Return the alarm's logical id, which its name holds."""
    return next(part for part in name.split("-") if part.startswith("Alarm"))


@contextlib.contextmanager
def stopped(role: str) -> Iterator[None]:
    """Stop the processes of the containers with this role until the block ends, as if they hung."""
    processes = list(_processes(lambda environ: environ.get(ROLE) == role))
    assert processes, f"no process of {role}"
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _processes(is_wanted: Callable[[dict[str, str]], bool]) -> Iterator[psutil.Process]:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if is_wanted(process.environ()):
                yield process


if __name__ == "__main__":
    perform(main)
