"""The faults: each starts a burst on a settled stack, does its harm while the tasks run, and waits for them."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleet.registry import CONSUMING, ORDER_CONSUME, ORDER_DRAIN
from local.errors import LocalError
from local.fargate.endpoint import Answer
from local.faults.ground import Burst, Ground, Trial
from local.faults.watch import EVERY_S, Sight
from local.lambdas.function import Function, InvocationFailed
from local.stack import WEBSERVER_PORT
from local.waiting import wait_until

BROKER_AWAY_S, DATABASE_AWAY_S = 3.0, 3.0
WEBSERVER_AWAY_S = 30.0
AUTOSCALER_AWAY_S = 180.0
# Airflow's 300 s would be much of the run. It must outlast the replacement of the service airflow that a restart of
# Postgres brings about (75 s on a busy machine): with 60 s tasks that ran were taken for dead.
HEARTBEAT_TIMEOUT_S = 120
SETTINGS = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT_S)}
REFUSED_S = 8.0  # while new workers ask for protection, and again while drained ones want to give it up
FLIP_EVERY_S = 4.0
ALL_RUNNING_TIMEOUT_S = 120.0
LOOKS_THAT_AGREE = 2
DECISION_TIMEOUT_S = 60.0
SERVER_ERROR: Answer = (500, {"error": {"Code": "ServerException", "Message": "injected"}})
BLOCKED: Answer = (200, {"failure": {"Arn": "", "Reason": "DEPLOYMENT_BLOCKED", "Detail": "injected"}})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`harm` does everything but settle before and judge after."""

    name: str
    what: str
    harm: Callable[[Ground, Trial], None]


def faults(*, autoscaler_away_s: float = AUTOSCALER_AWAY_S) -> tuple[Fault, ...]:
    """Every fault, in the order they are done.

    Missing still: a rolling deployment in mid-burst. It belongs here, as another Fault.
    """
    away = f"no invocation of the autoscaler for {autoscaler_away_s:.0f} s in mid-burst"
    return (
        Fault(name="scale-in", what="the count is lowered to 1 by hand, and workers drain, under load", harm=scale_in),
        Fault(name="redis", what=f"Redis fails over with its data, {BROKER_AWAY_S:.0f} s away", harm=redis_restarts),
        Fault(name="postgres", what=f"Postgres reboots, {DATABASE_AWAY_S:.0f} s away", harm=postgres_restarts),
        Fault(name="webserver", what=f"webserver cut off for {WEBSERVER_AWAY_S:.0f} s", harm=webserver_away),
        Fault(name="autoscaler-away", what=away, harm=lambda g, t: autoscaler_away(g, t, away_s=autoscaler_away_s)),
        Fault(name="two-autoscalers", what="a second autoscaler at the same time", harm=two_autoscalers),
        Fault(
            name="protection-500",
            what="the protection endpoint answers 500 in scale-out and in scale-in",
            harm=lambda g, t: protection_fails(g, t, answer=SERVER_ERROR),
        ),
        Fault(
            name="protection-blocked",
            what="the protection endpoint answers DEPLOYMENT_BLOCKED in scale-out and in scale-in",
            harm=lambda g, t: protection_fails(g, t, answer=BLOCKED),
        ),
        Fault(name="oscillation", what="1,000 short tasks while orders flip every 4 s", harm=oscillate),
        Fault(name="sigkill", what="SIGKILL of a worker with running tasks", harm=worker_killed),
    )


def scale_in(ground: Ground, trial: Trial) -> None:
    """Somebody sets the count to 1 while several work; later the autoscaler drains workers that still have tasks."""
    _burst_on_several(ground, trial, Burst(tasks=48, shortest_s=2, longest_s=30))
    stopped_before = _stopped(ground)
    _set_desired(ground, 1)
    ground.see("the count set right", lambda s: s.desired > 1)
    trial.figures["stopped_by_hand"] = _stopped(ground) - stopped_before
    ground.finish(trial)
    ground.settle()
    busy = max(s.draining_busy for s in ground.watch.since(trial.began_at))
    trial.figures["drained_while_busy"] = busy
    trial.require(busy > 0, "no worker drained while it had tasks")


def redis_restarts(ground: Ground, trial: Trial) -> None:
    """Messages, registry and orders are kept, every connection is lost."""
    _burst_on_several(ground, trial, Burst(tasks=60, shortest_s=2, longest_s=10))
    ground.stack.broker_server.restart(away_s=BROKER_AWAY_S)
    trial.figures["away_s"] = BROKER_AWAY_S
    ground.finish(trial)


def postgres_restarts(ground: Ground, trial: Trial) -> None:
    """Every session of Airflow and of Celery's results is lost."""
    _burst_on_several(ground, trial, Burst(tasks=60, shortest_s=2, longest_s=10))
    ground.stack.database_server.restart(away_s=DATABASE_AWAY_S)
    trial.figures["away_s"] = DATABASE_AWAY_S
    ground.finish(trial)


def webserver_away(ground: Ground, trial: Trial) -> None:
    """No task can be started, report or end meanwhile."""
    _burst_on_several(ground, trial, Burst(tasks=60, shortest_s=2, longest_s=10))
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


def two_autoscalers(ground: Ground, trial: Trial) -> None:
    """Two processes of the function look and act out of step, from scale-out until after scale-in."""
    second = Repeated(ground.stack.rules.function(ground.autoscaler).twin())
    try:
        began = time.time()
        ground.trigger(trial, Burst(tasks=60, shortest_s=2, longest_s=10))
        ground.finish(trial)
        ground.settle()
        looks = second.looks
        trial.figures["decisions"] = len(ground.decisions_since(began))
    finally:
        second.close()
    trial.figures["decisions_of_second"] = looks
    trial.require(looks > 0, "the second autoscaler decided nothing")


def protection_fails(ground: Ground, trial: Trial, *, answer: Answer) -> None:
    """New workers get no protection, so they must not consume; drained ones cannot give it up, so they must stay."""
    endpoint = ground.stack.agent.endpoint
    endpoint.fail_with(*answer)
    ground.trigger(trial, Burst(tasks=50, shortest_s=2, longest_s=8))
    ground.see("workers that wait for protection", lambda s: s.starting > 0 and s.queued > 0)
    refused_from = time.monotonic()
    time.sleep(REFUSED_S)
    consumed = max((s.consuming for s in ground.watch.since(refused_from)), default=0)
    trial.figures["consumed_unprotected"] = consumed - ground.minimum
    trial.require(consumed == ground.minimum, f"{consumed} workers consumed while protection was refused")
    endpoint.recover()
    ground.finish(trial)

    ground.see("workers that drain", lambda s: s.draining > 0)
    endpoint.fail_with(*answer)
    refused_from, stopped_before = time.monotonic(), _stopped(ground)
    time.sleep(REFUSED_S)
    still = [s for s in ground.watch.since(refused_from) if any(w.protected for w in s.workers)]
    trial.figures["stopped_while_refused"] = _stopped(ground) - stopped_before
    trial.require(bool(still), "no worker kept its protection while it could not give it up")
    endpoint.recover()


def oscillate(ground: Ground, trial: Trial) -> None:
    """Each few seconds a random half of the workers is told to do the opposite; the autoscaler tells them otherwise."""
    chance = random.Random(1)
    run_id = ground.trigger(trial, Burst(tasks=1000, shortest_s=0, longest_s=0.5))
    flips = 0
    ground.see("work", lambda s: s.active > 0)
    while run_id and (sight := ground.watch.latest()) and (sight.queued or sight.active):
        workers = chance.sample(sight.workers, k=(len(sight.workers) + 1) // 2)
        orders = {w.id: ORDER_DRAIN if w.state == CONSUMING else ORDER_CONSUME for w in workers}
        ground.stack.registry.give_orders(orders)
        flips += len(orders)
        time.sleep(FLIP_EVERY_S)
    ground.finish(trial)
    states = [{w.id: w.state for w in s.workers} for s in ground.watch.since(trial.began_at)]
    turns = sum(
        now.get(worker, state) != state for then, now in itertools.pairwise(states) for worker, state in then.items()
    )
    trial.figures |= {"orders": flips, "changes_of_state": turns}


def worker_killed(ground: Ground, trial: Trial) -> None:
    """The tasks of the killed worker are tried again, once; what it leaves in `unacked` moves no decision."""
    run_id = ground.trigger(trial, Burst(tasks=3 * ground.slots, shortest_s=25, longest_s=30))
    sight = _all_running(ground, run_id)
    before = ground.phantoms() - sight.active
    # The one that started last: none of its tasks is about to end.
    victim = max((w for w in sight.workers if w.active), key=lambda w: w.started_at)
    ground.stack.agent.kill(victim.task_arn)
    killed_at = time.monotonic()
    trial.retries_due = victim.active
    ground.finish(trial)
    trial.figures["seconds_until_done"] = round(time.monotonic() - killed_at)
    ground.settle()
    ghosts = ground.phantoms() - before
    trial.figures["ghosts"] = ghosts
    trial.require(ghosts == victim.active, f"{ghosts} ghosts in `unacked`, not {victim.active}: nothing was proved")
    settled_at = time.time()
    wait_until(
        lambda: bool(ground.decisions_since(settled_at)),
        what="a decision after the return",
        timeout_s=DECISION_TIMEOUT_S,
    )
    last = ground.decisions_since(settled_at)[-1]
    trial.require(last.get("active") == 0 and last.get("needed") == ground.minimum, f"ghosts moved a decision: {last}")


class Repeated:
    """Invokes a function over and over, as an overlapping schedule would, in a thread of its own until closed."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._closing = False
        self.looks = 0
        self._thread = threading.Thread(target=self._run, name="second-autoscaler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, and the function's process."""
        self._closing = True
        self._function.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            try:
                self.looks += int(self._function.invoke({"looks": 1})["looks"])
            except InvocationFailed:
                if not self._closing:
                    time.sleep(1)
            time.sleep(1.7)  # out of step with the first one's five seconds


def _burst_on_several(ground: Ground, trial: Trial, burst: Burst) -> None:
    ground.trigger(trial, burst)
    sight = ground.see("several workers at work", lambda s: s.consuming > 1 and s.active > ground.slots)
    trial.figures |= {"struck_workers": sight.consuming, "struck_tasks": sight.active}


def _all_running(ground: Ground, run_id: str) -> Sight:
    """Wait until several workers are busy and every task that any of them has is known to Airflow as running."""
    deadline, in_a_row = time.monotonic() + ALL_RUNNING_TIMEOUT_S, 0
    while time.monotonic() < deadline:
        sight = ground.see("two busy workers", lambda s: sum(w.active > 0 for w in s.workers) > 1)
        in_a_row = in_a_row + 1 if ground.running(run_id) == sight.active else 0
        if in_a_row == LOOKS_THAT_AGREE:
            return sight
        time.sleep(EVERY_S)
    raise LocalError("the tasks of the workers and those that Airflow knows to run did not agree for a moment")


def _set_desired(ground: Ground, count: int) -> None:
    outputs = ground.stack.outputs
    ground.stack.clients.ecs.update_service(
        cluster=outputs["ClusterName"], service=outputs["WorkerServiceName"], desiredCount=count
    )


def _stopped(ground: Ground) -> int:
    """Count the workers that were stopped so far."""
    service = ground.stack.outputs["WorkerServiceName"]
    return sum(e.startswith(f"{service}: task") and " stopped: " in e for e in list(ground.stack.agent.events))
