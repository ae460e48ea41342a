"""The whole stack is put to sleep in mid-burst, and woken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from local.lambdas.function import Function
from local.scenarios.faults.skew import CHECK_OUTPUT
from local.scenarios.faults.trial import Burst, Trial
from project.errors import CommandError

SLEEPER_OUTPUT, TOPIC_OUTPUT = "SleeperFunctionName", "AlarmTopicArn"
ASLEEP, AWAKE = "asleep", "awake"
# Images start slowly on a busy machine; on AWS the database alone takes some minutes.
SETTLE_TIMEOUT_S = 400.0
CHECK_EVERY_S = 2.0
# Longer than the schedule's minute, so that at least one scheduled tick finds the stack asleep.
NIGHT_S = 75.0
CONNECT_TIMEOUT_S = 2.0


def put_to_sleep(trial: Trial) -> None:
    """Ask for sleep while tasks run; check that nothing runs; wake the stack and run more tasks."""
    with _invoked(trial, SLEEPER_OUTPUT) as sleeper, _invoked(trial, CHECK_OUTPUT) as check:
        trial.trigger_on_several(Burst(tasks=40, shortest_s=2, longest_s=20))
        trial.figures["seconds_to_sleep"] = _reach(sleeper, ASLEEP)
        _require_sleep(trial, check)
        time.sleep(NIGHT_S)
        _require_sleep(trial, check)
        trial.figures["seconds_to_wake"] = _reach(sleeper, AWAKE)
    trial.finish()
    trial.trigger(Burst(tasks=20, shortest_s=1, longest_s=5))
    trial.finish()


@contextmanager
def _invoked(trial: Trial, output: str) -> Iterator[Function]:
    """Yield the function as an operator's command invokes it, beside its schedule."""
    with closing(trial.stack.rules.function(trial.stack.outputs[output]).in_second_process()) as function:
        yield function


def _reach(sleeper: Function, wanted: str) -> float:
    """Ask for a desired state and wait for it; return the seconds that took. CommandError when it is not reached."""
    began = time.monotonic()
    record = sleeper.invoke({"ticks": 1, "want": wanted})
    while not (record["is_settled"] and record["phase"] == wanted):
        if record["gave_up"] or time.monotonic() - began > SETTLE_TIMEOUT_S:
            raise CommandError(f"not {wanted} after {time.monotonic() - began:.0f} s: {record['says']}")
        time.sleep(CHECK_EVERY_S)
        record = sleeper.invoke({"ticks": 1})
    return round(time.monotonic() - began, 1)


def _require_sleep(trial: Trial, check: Function) -> None:
    stack = trial.stack
    names = [name for output, name in stack.outputs.items() if output.endswith("ServiceName")]
    described = stack.clients.ecs.describe_services(cluster=stack.outputs["ClusterName"], services=names)
    for service in described["services"]:
        sizes = {key: service[key] for key in ("desiredCount", "runningCount", "pendingCount")}
        trial.require(not any(sizes.values()), f"while asleep, {service['serviceName']} has {sizes}")
    trial.require(not _answers(stack.database_server.port), "while asleep, the database answers")
    alarms = _alarms_of(stack.clients, stack.outputs[TOPIC_OUTPUT])
    enabled = [alarm["AlarmName"] for alarm in alarms if alarm["ActionsEnabled"]]
    trial.require(bool(alarms) and not enabled, f"while asleep, alarms would notify: {', '.join(enabled)}")
    status = check.invoke({"ticks": 1})["status"]
    trial.require(status == ASLEEP, f"while asleep, the version check says {status}")


def _alarms_of(clients: Any, topic: str) -> list[dict[str, Any]]:
    """Return the alarms that notify the topic, without those of Application Auto Scaling."""
    pages = clients.cloudwatch.get_paginator("describe_alarms").paginate()
    return [alarm for page in pages for alarm in page["MetricAlarms"] if topic in alarm["AlarmActions"]]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=CONNECT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return False
    return True
