"""The number of workers changes under load: by hand, by two autoscalers, by orders that contradict each other."""

from __future__ import annotations

import itertools
import random
import threading
import time

from fleet.registry import CONSUMING, ORDER_CONSUME, ORDER_DRAIN
from local.lambdas.function import Function, InvocationFailed
from local.scenarios.faults.ground import Burst, Ground, Trial

FLIP_EVERY_S = 4.0
OSCILLATION_TIMEOUT_S = 1200.0  # 1,000 Airflow tasks are some ten minutes of two cores
OUT_OF_STEP_S = 1.7  # no multiple of the first autoscaler's PollSeconds


def scale_in(ground: Ground, trial: Trial) -> None:
    """Somebody sets the count to 1 while several work; later the autoscaler drains workers that still have tasks."""
    ground.burst_on_several(trial, Burst(tasks=48, shortest_s=2, longest_s=30))
    stopped_before = ground.stopped_workers()
    _set_desired(ground, 1)
    ground.see("the count set right", lambda s: s.desired > 1)
    trial.figures["stopped_by_hand"] = ground.stopped_workers() - stopped_before
    ground.finish(trial)
    ground.settle()
    busy = max(s.draining_busy for s in ground.watch.since(trial.began_at))
    trial.figures["drained_while_busy"] = busy
    trial.require(busy > 0, "no worker drained while it had tasks")


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


def oscillate(ground: Ground, trial: Trial) -> None:
    """Each few seconds a random half of the workers is told to do the opposite; the autoscaler tells them otherwise."""
    chance = random.Random(1)
    orders_given = 0

    def flip() -> None:
        nonlocal orders_given
        sight = ground.watch.latest()
        workers = chance.sample(sight.workers, k=(len(sight.workers) + 1) // 2) if sight else ()
        orders = {w.id: ORDER_DRAIN if w.state == CONSUMING else ORDER_CONSUME for w in workers}
        ground.stack.registry.give_orders(orders)
        orders_given += len(orders)

    ground.trigger(trial, Burst(tasks=1000, shortest_s=0, longest_s=0.5))
    ground.see("work", lambda s: s.active > 0)
    ground.finish(trial, timeout_s=OSCILLATION_TIMEOUT_S, meanwhile=flip, every_s=FLIP_EVERY_S)
    states = [{w.id: w.state for w in s.workers} for s in ground.watch.since(trial.began_at)]
    turns = sum(
        now.get(worker, state) != state for then, now in itertools.pairwise(states) for worker, state in then.items()
    )
    trial.figures |= {"orders": orders_given, "changes_of_state": turns}


def _set_desired(ground: Ground, count: int) -> None:
    outputs = ground.stack.outputs
    ground.stack.clients.ecs.update_service(
        cluster=outputs["ClusterName"], service=outputs["WorkerServiceName"], desiredCount=count
    )


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
            time.sleep(OUT_OF_STEP_S)
