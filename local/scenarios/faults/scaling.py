"""The number of workers changes under load: by hand, by two autoscalers, by contradicting orders."""

from __future__ import annotations

import itertools
import random
import threading
import time

from fleet.member import CONSUMING
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN
from local.lambdas.function import Function, InvocationFailed
from local.scenarios.faults.trial import Burst, Trial

FLIP_EVERY_S = 4.0
OSCILLATION_TIMEOUT_S = 1200.0  # 1,000 Airflow tasks take some ten minutes on two cores
OUT_OF_STEP_S = 1.7  # no multiple of the first autoscaler's PollSeconds


def lower_count(trial: Trial) -> None:
    """Set the count to 1 while several workers are busy; later the autoscaler drains workers that still have tasks."""
    observed, outputs = trial.observed, trial.stack.outputs
    trial.trigger_on_several(Burst(tasks=48, shortest_s=2, longest_s=30))
    stopped_before = observed.stopped_workers()
    trial.stack.clients.ecs.update_service(
        cluster=outputs["ClusterName"], service=outputs["WorkerServiceName"], desiredCount=1
    )
    observed.wait_for("corrected count", lambda s: s.desired > 1)
    trial.figures["stopped_by_hand"] = observed.stopped_workers() - stopped_before
    trial.finish()
    observed.settle()
    busy = max(s.draining_busy for s in observed.workers.since(trial.began_at))
    trial.figures["drained_while_busy"] = busy
    trial.require(busy > 0, "no worker drained while it had tasks")


def run_second_autoscaler(trial: Trial) -> None:
    """Run two processes of the autoscaler out of step, from scale-out until after scale-in."""
    second = RepeatedInvocation(trial.stack.rules.function(trial.observed.autoscaler).in_second_process())
    try:
        began = time.time()
        trial.trigger(Burst(tasks=60, shortest_s=2, longest_s=10))
        trial.finish()
        trial.observed.settle()
        ticks = second.ticks
        trial.figures["decisions"] = len(trial.observed.decisions_since(began))
    finally:
        second.close()
    trial.figures["decisions_of_second"] = ticks
    trial.require(ticks > 0, "the second autoscaler decided nothing")


def flip_orders(trial: Trial) -> None:
    """Every few seconds order a random half of the workers to do the opposite, against the autoscaler's orders."""
    observed = trial.observed
    chance = random.Random(1)
    orders_given = 0

    def flip() -> None:
        nonlocal orders_given
        sample = observed.workers.latest()
        workers = chance.sample(sample.workers, k=(len(sample.workers) + 1) // 2) if sample else ()
        orders = {w.id: ORDER_DRAIN if w.state == CONSUMING else ORDER_CONSUME for w in workers}
        trial.stack.registry.give_orders(orders)
        orders_given += len(orders)

    trial.trigger(Burst(tasks=1000, shortest_s=0, longest_s=0.5))
    observed.wait_for("running tasks", lambda s: s.active > 0)
    trial.finish(timeout_s=OSCILLATION_TIMEOUT_S, meanwhile=flip, every_s=FLIP_EVERY_S)
    states = [{w.id: w.state for w in s.workers} for s in observed.workers.since(trial.began_at)]
    changes = sum(
        now.get(worker, state) != state for then, now in itertools.pairwise(states) for worker, state in then.items()
    )
    trial.figures |= {"orders": orders_given, "changes_of_state": changes}


class RepeatedInvocation:
    """Invokes a function repeatedly, as an overlapping schedule would, in a thread of its own until it is closed."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._closing = False
        self.ticks = 0
        self._thread = threading.Thread(target=self._run, name="second-autoscaler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop invoking, and end the function's process."""
        self._closing = True
        self._function.close()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            try:
                self.ticks += int(self._function.invoke({"ticks": 1})["ticks"])
            except InvocationFailed:
                if not self._closing:
                    time.sleep(1)
            time.sleep(OUT_OF_STEP_S)
