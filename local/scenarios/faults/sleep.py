"""The whole stack is put to sleep in mid-burst, and woken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from local.lambdas.function import Function
from local.scenarios.faults.ground import Burst, Ground, Trial
from project.errors import CommandError

SLEEPER_OUTPUT, CHECK_OUTPUT = "SleeperFunctionName", "VersionCheckFunctionName"
TOPIC_OUTPUT = "AlarmTopicArn"
ASLEEP, AWAKE = "asleep", "awake"
# Images start slowly where much else is going on; on AWS the database alone takes some minutes.
SETTLE_TIMEOUT_S = 400.0
ASK_EVERY_S = 2.0
# Longer than the schedule's minute: what must stay as it is has been looked at then.
NIGHT_S = 75.0
CONNECT_TIMEOUT_S = 2.0


def put_to_sleep(ground: Ground, trial: Trial) -> None:
    """Tasks run when it is asked for; when it sleeps nothing runs; what is asked of it after it woke succeeds."""
    with _invoked(ground, SLEEPER_OUTPUT) as sleeper, _invoked(ground, CHECK_OUTPUT) as check:
        ground.burst_on_several(trial, Burst(tasks=40, shortest_s=2, longest_s=20))
        trial.figures["seconds_to_sleep"] = _reach(sleeper, ASLEEP)
        _require_sleep(ground, trial, check)
        time.sleep(NIGHT_S)
        _require_sleep(ground, trial, check)
        trial.figures["seconds_to_wake"] = _reach(sleeper, AWAKE)
    ground.finish(trial)
    ground.trigger(trial, Burst(tasks=20, shortest_s=1, longest_s=5))
    ground.finish(trial)


@contextmanager
def _invoked(ground: Ground, output: str) -> Iterator[Function]:
    """The function as an operator's command invokes it, beside its schedule."""
    with closing(ground.stack.rules.function(ground.stack.outputs[output]).twin()) as function:
        yield function


def _reach(sleeper: Function, wanted: str) -> float:
    """Ask for it, wait for it; return how many seconds that took. CommandError says what it waited for in vain."""
    began = time.monotonic()
    record = sleeper.invoke({"looks": 1, "want": wanted})
    while not (record["is_settled"] and record["phase"] == wanted):
        if record["gave_up"] or time.monotonic() - began > SETTLE_TIMEOUT_S:
            raise CommandError(f"not {wanted} after {time.monotonic() - began:.0f} s: {record['says']}")
        time.sleep(ASK_EVERY_S)
        record = sleeper.invoke({"looks": 1})
    return round(time.monotonic() - began, 1)


def _require_sleep(ground: Ground, trial: Trial, check: Function) -> None:
    stack = ground.stack
    names = [name for output, name in stack.outputs.items() if output.endswith("ServiceName")]
    for service in stack.clients.ecs.describe_services(cluster=stack.outputs["ClusterName"], services=names)[
        "services"
    ]:
        sizes = {key: service[key] for key in ("desiredCount", "runningCount", "pendingCount")}
        trial.require(not any(sizes.values()), f"asleep, {service['serviceName']} has {sizes}")
    trial.require(not _answers(stack.database_server.port), "asleep, the database answers")
    telling = _alarms_that_tell(stack.clients, stack.outputs[TOPIC_OUTPUT])
    loud = [alarm["AlarmName"] for alarm in telling if alarm["ActionsEnabled"]]
    trial.require(bool(telling) and not loud, f"asleep, alarms would tell people: {', '.join(loud)}")
    said = check.invoke({"looks": 1})["status"]
    trial.require(said == ASLEEP, f"asleep, the version check says {said}")


def _alarms_that_tell(clients: Any, topic: str) -> list[dict[str, Any]]:
    """Those of people's topic: others are Application Auto Scaling's own."""
    pages = clients.cloudwatch.get_paginator("describe_alarms").paginate()
    return [alarm for page in pages for alarm in page["MetricAlarms"] if topic in alarm["AlarmActions"]]


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=CONNECT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return False
    return True
