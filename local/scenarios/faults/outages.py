"""A part of the stack is away for a while, in mid-burst."""

from __future__ import annotations

import time

from local.scenarios.faults.ground import Burst, Ground, Trial
from local.stack.up import WEBSERVER_PORT

BROKER_AWAY_S, DATABASE_AWAY_S = 3.0, 3.0
WEBSERVER_AWAY_S = 30.0
AUTOSCALER_AWAY_S = 180.0


def redis_restarts(ground: Ground, trial: Trial) -> None:
    """Messages, registry and orders are kept, every connection is lost."""
    ground.burst_on_several(trial, Burst(tasks=60, shortest_s=2, longest_s=10))
    ground.stack.broker_server.restart(away_s=BROKER_AWAY_S)
    trial.figures["away_s"] = BROKER_AWAY_S
    ground.finish(trial)


def postgres_restarts(ground: Ground, trial: Trial) -> None:
    """Every session of Airflow and of Celery's results is lost."""
    ground.burst_on_several(trial, Burst(tasks=60, shortest_s=2, longest_s=10))
    ground.stack.database_server.restart(away_s=DATABASE_AWAY_S)
    trial.figures["away_s"] = DATABASE_AWAY_S
    ground.finish(trial)


def webserver_away(ground: Ground, trial: Trial) -> None:
    """No task can be started, report or end meanwhile."""
    ground.burst_on_several(trial, Burst(tasks=60, shortest_s=2, longest_s=10))
    service = ground.stack.outputs["AirflowServiceName"]
    ground.stack.network.take_away(service, WEBSERVER_PORT)
    time.sleep(WEBSERVER_AWAY_S)
    ground.stack.network.bring_back(service, WEBSERVER_PORT)
    trial.figures["away_s"] = WEBSERVER_AWAY_S
    ground.finish(trial)


def autoscaler_away(ground: Ground, trial: Trial, *, away_s: float) -> None:
    """It goes after it raised the count; another burst comes while nobody looks; then it is back."""
    function = ground.stack.rules.function(ground.autoscaler)
    ground.trigger(trial, Burst(tasks=40, shortest_s=2, longest_s=8))
    ground.see("more than one desired worker", lambda s: s.desired > 1)
    function.throttle()
    began, gone_since = time.monotonic(), time.time()
    ground.finish(trial)
    ground.trigger(trial, Burst(tasks=40, shortest_s=2, longest_s=8))
    time.sleep(max(0.0, began + away_s - time.monotonic()))
    decided = len(ground.decisions_since(gone_since))
    trial.require(decided == 0, f"{decided} decisions while the autoscaler was away")
    trial.figures["away_s"] = round(time.monotonic() - began)
    function.unthrottle()
    ground.finish(trial)
