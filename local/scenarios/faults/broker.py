"""What a managed Redis may do in the middle of a burst: change its role, fall silent, freeze, lose everything."""

from __future__ import annotations

import time

import redis

from fleet.member import WORKER
from local.scenarios.faults.capacity import check_capacity
from local.scenarios.faults.container_logs import count_lines
from local.scenarios.faults.trial import LONG, LONG_RUN_TIMEOUT_S, Burst, Trial
from local.scenarios.sampling import backlog

NO_PRIMARY = ("127.0.0.1", "1")
ROLE_CHANGES_S = (10.0, 90.0)
BETWEEN_ROLES_S = 15.0
FROZEN_S = 60.0
FLUSHED = Burst(tasks=120, shortest_s=5, longest_s=10)
TAKES_NOTHING = "fleet: takes no messages"  # a worker's log, and why
ANSWER_TIMEOUT_S = 3.0


def change_roles(trial: Trial) -> None:
    """Make Redis a replica without a primary, twice: it refuses writes, and ends what blocks."""
    trial.trigger_around()
    with trial.stack.broker_server.client() as client:
        for lasts_s in ROLE_CHANGES_S:
            client.replicaof(*NO_PRIMARY)
            time.sleep(lasts_s)
            client.replicaof("NO", "ONE")
            time.sleep(BETWEEN_ROLES_S)
    trial.figures["replica_s"] = sum(ROLE_CHANGES_S)
    _finish(trial)


def fall_silent(trial: Trial) -> None:
    """Swallow what every open connection sends, while new connections reach a new Redis with the same data."""
    trial.trigger_around()
    before = _alarms(trial)
    connections = trial.stack.relay.swallow("broker")
    trial.figures["connections"] = connections
    trial.require(connections > 0, "no connection to Redis was open: the fault proves nothing")
    trial.stack.broker_server.restart()
    _finish(trial)
    _require_alarms(trial, before)


def freeze(trial: Trial) -> None:
    """Stop Redis's process for a while: connections stay, and nothing is answered."""
    trial.trigger_around()
    before = _alarms(trial)
    server = trial.stack.broker_server
    server.freeze()
    try:
        frozen_at = time.monotonic()
        trial.require(not _answers(trial), "Redis answered while its process was stopped: the fault proves nothing")
        time.sleep(max(0.0, frozen_at + FROZEN_S - time.monotonic()))
    finally:
        server.thaw()
    trial.figures["frozen_s"] = FROZEN_S
    _finish(trial)
    _require_alarms(trial, before)


def flush(trial: Trial) -> None:
    """Lose messages, results, registry, orders and the autoscaler's memory while tasks run and others wait."""
    trial.trigger(LONG)
    trial.trigger(FLUSHED)
    trial.observed.wait_for("messages that wait", lambda s: s.active > 0 and s.queued > 0)
    with trial.stack.broker_server.client() as client:
        lost = backlog(client)
        client.flushall()
    trial.figures["lost_messages"] = lost
    trial.require(lost > 0, "no message waited when Redis lost everything: the fault proves nothing")
    _finish(trial)


def _finish(trial: Trial) -> None:
    trial.finish(timeout_s=LONG_RUN_TIMEOUT_S)
    check_capacity(trial)


def _alarms(trial: Trial) -> int:
    """Count how often a worker has said that it takes no messages."""
    return count_lines(trial.stack.outputs["WorkerServiceName"], WORKER, TAKES_NOTHING)


def _require_alarms(trial: Trial, before: int) -> None:
    alarms = _alarms(trial) - before
    trial.figures["workers_without_messages"] = alarms
    trial.require(alarms > 0, "no worker noticed that Redis did not answer: the fault proves nothing")


def _answers(trial: Trial) -> bool:
    with trial.stack.broker_server.client(timeout_s=ANSWER_TIMEOUT_S) as client:
        try:
            return bool(client.ping())
        except redis.TimeoutError:
            return False
