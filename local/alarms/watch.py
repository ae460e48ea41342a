"""Evaluates the deployed alarms on the stack's own metrics all the time, and notifies their topics of changes.

Alarms on metrics of AWS's services stay as they are: those services are not here.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.alarms.evaluate import ALARM, MINUTE_S, OK, UNSETTLED, composite_state, state_of
from local.alarms.filters import Filter
from local.alarms.readings import Readings
from stack.lib.alarms import METRICS_NAMESPACE

log = logging.getLogger(__name__)

EVERY_S = 2.0
METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"
ACTIONS = {ALARM: "AlarmActions", OK: "OKActions", UNSETTLED: "InsufficientDataActions"}


class Alarms:
    """The alarms of a stack. `minute_s`: how long a minute of their periods is."""

    def __init__(
        self,
        *,
        clients: Any,
        folder: Path,
        container_logs: Callable[[], Mapping[Path, str]] = dict,
        minute_s: float = MINUTE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the functions' logs in `folder`; an error of the API is logged, and the next tick tries again.

        `container_logs` returns the log group of each container's log.
        """
        self._clients, self._folder, self._minute_s, self._clock = clients, folder, minute_s, clock
        self._container_logs = container_logs
        self._readings, self._since = Readings(), clock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        """Begin to evaluate."""
        self._thread.start()

    def close(self) -> None:
        """Stop evaluating."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self) -> dict[str, str]:
        """Evaluate once; return all alarms' states by name. Raises OSError and botocore's errors."""
        self._readings.read(self._folder)
        if logs := self._container_logs():
            self._readings.read_containers(logs, self._filters(), at=self._clock())
        states = {}
        found = list(self._alarms(METRIC))
        for alarm in found:
            states[alarm["AlarmName"]] = self._settle(alarm, self._state(alarm))
        for alarm in self._alarms(COMPOSITE):
            states[alarm["AlarmName"]] = self._settle(alarm, composite_state(alarm, states))
        return states

    def _state(self, alarm: Mapping[str, Any]) -> str:
        if alarm.get("Namespace") != METRICS_NAMESPACE:
            return str(alarm["StateValue"])
        points = self._readings.of(alarm)
        return state_of(alarm, points, now=self._clock(), since=self._since, minute_s=self._minute_s)

    def _filters(self) -> list[Filter]:
        pages = self._clients.logs.get_paginator("describe_metric_filters").paginate()
        return [Filter.of(each) for page in pages for each in page["metricFilters"]]

    def _alarms(self, kind: str) -> Iterator[dict[str, Any]]:
        pages = self._clients.cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=[kind])
        for page in pages:
            yield from page[f"{kind}s"]

    def _settle(self, alarm: Mapping[str, Any], state: str) -> str:
        """Give the alarm its state; notify if that is a change."""
        before = alarm["StateValue"]
        if state != before:
            name, reason = alarm["AlarmName"], f"evaluated locally over {alarm.get('EvaluationPeriods', 'its rule')}"
            self._clients.cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason=reason)
            log.info("alarm %s: %s -> %s", name, before, state)
            self._notify(alarm, before=before, state=state)
        return state

    def _notify(self, alarm: Mapping[str, Any], *, before: str, state: str) -> None:
        if not alarm.get("ActionsEnabled", True):
            return
        message = {
            "AlarmName": alarm["AlarmName"],
            "AlarmDescription": alarm.get("AlarmDescription"),
            "NewStateValue": state,
            "OldStateValue": before,
        }
        subject = f'{state}: "{alarm["AlarmName"]}"'[:99]
        for action in alarm.get(ACTIONS[state]) or ():
            if ":sns:" in action:
                self._clients.sns.publish(TopicArn=action, Subject=subject, Message=json.dumps(message))

    def _run(self) -> None:
        while not self._closing.wait(EVERY_S):
            try:
                self.tick()
            except (OSError, BotoCoreError, ClientError) as error:
                log.warning("alarms are not evaluated: %s", error)
