"""A running stack as the scenarios use it: a signed-in client of Airflow, and samples of the workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from fleet.access import unacked_keys
from local.scenarios.sampling import WorkerSample, WorkerSampler, decisions
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import DEFAULT_POOL, WEBSERVER_PORT, Stack
from project.errors import CommandError

BURST_DAG, BURST_TASK = "burst", "work"
AUTOSCALER_OUTPUT = "AutoscalerFunctionName"
SETTLE_TIMEOUT_S = 240
SAMPLE_TIMEOUT_S = 150
CHECK_EVERY_S = 0.5


class ObservedStack:
    """The stack with its client and its sampler, until it is closed."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        self.workers = WorkerSampler(stack)
        self.minimum = int(stack.parameters["WorkerMin"])
        self.slots = int(stack.parameters["WorkerConcurrency"])
        self.airflow.wait_for_dag(BURST_DAG)

    def close(self) -> None:
        """Stop sampling and close the client."""
        self.workers.close()
        self.airflow.close()

    @property
    def autoscaler(self) -> str:
        """The name of the autoscaler's function."""
        return self.stack.outputs[AUTOSCALER_OUTPUT]

    def settle(self, *, running: int = 0) -> None:
        """Wait until the workers are at their minimum and consume, nothing queues, and at most `running` tasks run."""
        self.wait_for(
            "return to the minimum", lambda sample: self._is_settled(sample, running), timeout_s=SETTLE_TIMEOUT_S
        )

    def wait_for(
        self, what: str, is_reached: Callable[[WorkerSample], bool], *, timeout_s: float = SAMPLE_TIMEOUT_S
    ) -> WorkerSample:
        """Wait for a sample of the workers and return it. Raises CommandError with `what` when time runs out."""
        deadline = time.monotonic() + timeout_s
        while True:
            sample = self.workers.latest()
            if sample is not None and is_reached(sample):
                return sample
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{what}: not seen within {timeout_s:.0f} s; last sample of the workers: {_describe(sample)}"
                )
            time.sleep(CHECK_EVERY_S)

    def stopped_workers(self) -> int:
        """Count the workers that were stopped so far."""
        service = self.stack.outputs["WorkerServiceName"]
        return sum(e.startswith(f"{service}: task") and " stopped: " in e for e in list(self.stack.agent.events))

    def unacknowledged(self) -> int:
        """Count the messages that were delivered and not acknowledged."""
        count: Any = self.stack.broker.hlen(unacked_keys(DEFAULT_POOL)[0])  # the stubs say that it may be awaitable
        return int(count)

    def decisions_since(self, at: float) -> list[dict[str, Any]]:
        """Return the autoscaler's decisions since a time in seconds since the epoch."""
        return [d for d in decisions(self.stack) if d["t"] >= at]

    def _is_settled(self, sample: WorkerSample, running: int) -> bool:
        is_idle = not sample.queued and sample.active <= running
        is_minimum = sample.desired == sample.running == len(sample.workers) == sample.consuming == self.minimum
        return is_minimum and is_idle and self._is_healthy()

    def _is_healthy(self) -> bool:
        network, outputs = self.stack.network, self.stack.outputs
        try:
            malformed = self.stack.registry.members().malformed
        except redis.RedisError:
            return False
        return not malformed and network.healthy(outputs["AirflowServiceName"], WEBSERVER_PORT) > 0


def _describe(sample: WorkerSample | None) -> str:
    if sample is None:
        return "none was taken lately"
    states = ", ".join(f"{worker.state}/{worker.active}" for worker in sample.workers)
    return f"desired {sample.desired}, running {sample.running}, queued {sample.queued}, workers [{states}]"
