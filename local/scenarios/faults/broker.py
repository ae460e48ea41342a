"""What a managed Redis may do in the middle of a burst: change its role, fall silent, freeze, lose everything."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from local.scenarios.airflow import BURST_DAG, BURST_TASK
from local.scenarios.faults.trial import Burst, Trial
from local.scenarios.sampling import WorkerSample, backlog

NO_PRIMARY = ("127.0.0.1", "1")
ROLE_CHANGES_S = (10.0, 90.0)
BETWEEN_ROLES_S = 15.0
FROZEN_S = 60.0
# Tasks that run on over the whole fault, and others that end, are sent and start during it.
LONG = Burst(tasks=2, shortest_s=150, longest_s=170)
SHORT = Burst(tasks=60, shortest_s=2, longest_s=10)
FLUSHED = Burst(tasks=120, shortest_s=5, longest_s=10)
RUN_TIMEOUT_S = 600.0
BELIEVED_S = 30.0  # for so long may a worker be taken for capacity that takes no messages
GAP_S = 5.0  # between samples: what happened meanwhile no one could read
STARTS = """
    SELECT map_index, try_number, count(*) FROM log
    WHERE dag_id = %s AND run_id = %s AND task_id = %s AND event = 'running' GROUP BY 1, 2 HAVING count(*) > 1
"""


def change_roles(trial: Trial) -> None:
    """Make Redis a replica without a primary, twice: it refuses writes, and ends what blocks."""
    _trigger(trial)
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
    _trigger(trial)
    trial.figures["connections"] = trial.stack.relay.swallow("broker")
    trial.stack.broker_server.restart()
    _finish(trial)


def freeze(trial: Trial) -> None:
    """Stop Redis's process for a while: connections stay, and nothing is answered."""
    _trigger(trial)
    pid = trial.stack.broker_server.pid
    if pid is None:
        trial.require(False, "Redis does not run: the fault proves nothing")
        return
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(FROZEN_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    trial.figures["frozen_s"] = FROZEN_S
    _finish(trial)


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


def believed_s(samples: Sequence[WorkerSample]) -> float:
    """Return for how long at most a worker was taken for capacity while messages waited and it took none.

    It was if it reported that it consumes, and had a free slot, without a change, in a pool with a backlog.
    """
    longest = 0.0
    since: dict[str, float] = {}
    before = float("-inf")
    for sample in samples:
        if sample.at - before > GAP_S:
            since.clear()
        before = sample.at
        idle = {
            (worker.id, worker.active)
            for worker in sample.workers
            if sample.queued and worker.is_consuming and worker.active < worker.slots
        }
        since = {f"{name} {active}": since.get(f"{name} {active}", sample.at) for name, active in idle}
        longest = max([longest, *(sample.at - at for at in since.values())])
    return round(longest, 1)


def _trigger(trial: Trial) -> None:
    trial.trigger(LONG)
    trial.trigger_on_several(SHORT)


def _finish(trial: Trial) -> None:
    trial.finish(timeout_s=RUN_TIMEOUT_S)
    believed = believed_s(trial.observed.workers.since(trial.began_at))
    trial.figures["believed_s"] = believed
    trial.require(believed <= BELIEVED_S, f"a worker that took no messages was taken for capacity for {believed:.0f} s")
    twice = _started_twice(trial)
    trial.require(not twice, f"{twice} tasks ran twice in one try")


def _started_twice(trial: Trial) -> int:
    with trial.stack.database_server.superuser(trial.stack.outputs["DatabaseName"]) as database:
        return sum(len(database.execute(STARTS, (BURST_DAG, run_id, BURST_TASK)).fetchall()) for run_id in trial.runs)
