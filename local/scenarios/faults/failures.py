"""Parts of the stack that go away, refuse or die in the middle of a burst."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from fleet.member import SCHEDULER, WEBSERVER
from local.fargate.endpoint import Answer
from local.scenarios.faults.container_logs import count_lines
from local.scenarios.faults.trial import Burst, Trial
from local.scenarios.observed_stack import BURST_DAG, BURST_TASK
from local.scenarios.sampling import EVERY_S, WorkerSample
from local.stack.up import EXECUTION_PORT, WEBSERVER_PORT
from project.errors import CommandError
from project.waiting import wait_until

BROKER_AWAY_S, DATABASE_AWAY_S = 3.0, 3.0
WEBSERVER_AWAY_S = 30.0
NEW_WEBSERVER_TIMEOUT_S = 300.0
BUSY_PROCESSES_A_CORE = 2
BROKER_FULL_S = 60.0
# More tasks than the first worker has slots, and fewer than the pool has: 4 and 16.
FEW, MANY = Burst(tasks=12, shortest_s=10, longest_s=20), Burst(tasks=188, shortest_s=2, longest_s=10)
REFUSED = "fleet: the broker takes no messages"  # the scheduler's log, and why
FULL_RUN_TIMEOUT_S = 900.0  # 200 tasks take some five minutes on two cores
AUTOSCALER_AWAY_S = 180.0
REFUSED_S = 8.0  # while new workers ask for protection, and again while drained workers give it up
ALL_RUNNING_TIMEOUT_S = 120.0
DECISION_TIMEOUT_S = 60.0
EQUAL_SAMPLES = 2  # in a row, before the counts of workers and of Airflow are taken to agree
SERVER_ERROR: Answer = (500, {"error": {"Code": "ServerException", "Message": "injected"}})
BLOCKED: Answer = (200, {"failure": {"Arn": "", "Reason": "DEPLOYMENT_BLOCKED", "Detail": "injected"}})


def restart_redis(trial: Trial) -> None:
    """Lose every connection; keep messages, registry and orders."""
    trial.trigger_on_several(Burst(tasks=60, shortest_s=2, longest_s=10))
    trial.stack.broker_server.restart(away_s=BROKER_AWAY_S)
    trial.figures["away_s"] = BROKER_AWAY_S
    trial.finish()


def fill_broker(trial: Trial) -> None:
    """Let Redis have less memory than it uses, while messages wait in it, tasks run and workers are launched."""
    observed = trial.observed
    before = _refusals(trial)
    trial.trigger(FEW)
    observed.wait_for("messages that wait", lambda s: s.active > 0 and s.queued > 0)
    with trial.stack.broker_server.client() as client:
        client.config_set("maxmemory", 1)
        trial.trigger(MANY)  # the pool has room for more of them than wait so far, so the scheduler sends some
        time.sleep(BROKER_FULL_S)
        client.config_set("maxmemory", 0)
    refusals = _refusals(trial) - before
    trial.figures |= {"full_s": BROKER_FULL_S, "refusals": refusals}
    trial.require(refusals > 0, "the scheduler sent no message while Redis was full: the fault proves nothing")
    trial.finish(timeout_s=FULL_RUN_TIMEOUT_S)


def _refusals(trial: Trial) -> int:
    """Count how often the broker has begun to refuse the scheduler's messages."""
    return count_lines(trial.stack.outputs["AirflowServiceName"], SCHEDULER, REFUSED)


def restart_postgres(trial: Trial) -> None:
    """Lose every session of Airflow and of Celery's result backend."""
    trial.trigger_on_several(Burst(tasks=60, shortest_s=2, longest_s=10))
    trial.stack.database_server.restart(away_s=DATABASE_AWAY_S)
    trial.figures["away_s"] = DATABASE_AWAY_S
    trial.finish()


def kill_webserver(trial: Trial) -> None:
    """Kill the webserver on a busy machine and cut its successor off: no task can start, report or end meanwhile."""
    trial.trigger_on_several(Burst(tasks=60, shortest_s=2, longest_s=10))
    service, network = trial.stack.outputs["AirflowServiceName"], trial.stack.network
    with busy_processors(BUSY_PROCESSES_A_CORE * (os.cpu_count() or 1)):
        began = time.monotonic()
        for port in (EXECUTION_PORT, WEBSERVER_PORT):
            network.cut_off(service, port)
        killed = trial.stack.agent.kill_containers(WEBSERVER)
        trial.require(killed > 0, "no webserver was killed: the fault proves nothing")
        time.sleep(WEBSERVER_AWAY_S)
        for port in (EXECUTION_PORT, WEBSERVER_PORT):
            network.restore(service, port)
        wait_until(
            lambda: network.healthy(service, EXECUTION_PORT) > 0,
            what="a new webserver",
            timeout_s=NEW_WEBSERVER_TIMEOUT_S,
        )
        trial.figures["away_s"] = round(time.monotonic() - began)
        trial.finish()


@contextlib.contextmanager
def busy_processors(count: int) -> Iterator[None]:
    """Run `count` processes that compute without a pause, until the end."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def throttle_autoscaler(trial: Trial, *, away_s: float) -> None:
    """Stop the autoscaler after it has raised the count, send another burst meanwhile, then let it run again."""
    observed = trial.observed
    function = trial.stack.rules.function(observed.autoscaler)
    trial.trigger(Burst(tasks=40, shortest_s=2, longest_s=8))
    observed.wait_for("desired count above 1", lambda s: s.desired > 1)
    function.throttle()
    began, away_since = time.monotonic(), time.time()
    trial.finish()
    trial.trigger(Burst(tasks=40, shortest_s=2, longest_s=8))
    time.sleep(max(0.0, began + away_s - time.monotonic()))
    decided = len(observed.decisions_since(away_since))
    trial.require(decided == 0, f"{decided} decisions while the autoscaler was away")
    trial.figures["away_s"] = round(time.monotonic() - began)
    function.unthrottle()
    trial.finish()


def refuse_protection(trial: Trial, *, answer: Answer) -> None:
    """Refuse protection to new workers, which must not consume, and to drained workers, which must stay protected."""
    observed, endpoint = trial.observed, trial.stack.agent.endpoint
    endpoint.fail_with(*answer)
    trial.trigger(Burst(tasks=50, shortest_s=2, longest_s=8))
    observed.wait_for("workers that wait for protection", lambda s: s.starting > 0 and s.queued > 0)
    refused_from = time.monotonic()
    time.sleep(REFUSED_S)
    consumed = max((s.consuming for s in observed.workers.since(refused_from)), default=0)
    trial.figures["consumed_unprotected"] = consumed - observed.minimum
    trial.require(consumed == observed.minimum, f"{consumed} workers consumed while protection was refused")
    endpoint.recover()
    trial.finish()

    observed.wait_for("workers that drain", lambda s: s.draining > 0)
    endpoint.fail_with(*answer)
    refused_from, stopped_before = time.monotonic(), observed.stopped_workers()
    time.sleep(REFUSED_S)
    protected = [s for s in observed.workers.since(refused_from) if any(w.protected for w in s.workers)]
    trial.figures["stopped_while_refused"] = observed.stopped_workers() - stopped_before
    trial.require(bool(protected), "no worker kept its protection while it could not give it up")
    endpoint.recover()


def kill_worker(trial: Trial) -> None:
    """Kill a worker: its tasks are retried once, and its entries left in `unacked` change no decision."""
    observed = trial.observed
    run_id = trial.trigger(Burst(tasks=3 * observed.slots, shortest_s=25, longest_s=30))
    sample = _wait_until_all_run(trial, run_id)
    before = observed.unacknowledged() - sample.active
    # The worker that started last: none of its tasks is about to end.
    victim = max((w for w in sample.workers if w.active), key=lambda w: w.started_at)
    trial.stack.agent.kill(victim.task_arn)
    killed_at = time.monotonic()
    trial.retries_due = victim.active
    trial.finish()
    trial.figures["seconds_until_done"] = round(time.monotonic() - killed_at)
    observed.settle()
    left_unacknowledged = observed.unacknowledged() - before
    trial.figures["left_unacknowledged"] = left_unacknowledged
    trial.require(
        left_unacknowledged == victim.active,
        f"the killed worker left {left_unacknowledged} unacknowledged messages, {victim.active} expected: "
        "the fault proves nothing",
    )
    settled_at = time.time()
    wait_until(
        lambda: bool(observed.decisions_since(settled_at)),
        what="a decision after the return to the minimum",
        timeout_s=DECISION_TIMEOUT_S,
    )
    last = observed.decisions_since(settled_at)[-1]
    trial.require(
        last.get("active") == 0 and last.get("needed") == observed.minimum,
        f"unacknowledged messages changed a decision: {last}",
    )


def _wait_until_all_run(trial: Trial, run_id: str) -> WorkerSample:
    """Wait until several workers are busy and Airflow knows each of their tasks as running."""
    observed = trial.observed
    deadline, in_a_row = time.monotonic() + ALL_RUNNING_TIMEOUT_S, 0
    while time.monotonic() < deadline:
        sample = observed.wait_for("two busy workers", lambda s: sum(w.active > 0 for w in s.workers) > 1)
        running = observed.airflow.count(BURST_DAG, run_id, task_id=BURST_TASK, state="running")
        in_a_row = in_a_row + 1 if running == sample.active else 0
        if in_a_row == EQUAL_SAMPLES:
            return sample
        time.sleep(EVERY_S)
    raise CommandError(f"workers and Airflow did not agree on the running tasks within {ALL_RUNNING_TIMEOUT_S:.0f} s")
