"""Production's modules, put into the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import Mock, patch

from agent import variables
from tests.model.worker import count_active, count_slots, end_process

LEASE_MINUTES = 30


@contextmanager
def production(now: Callable[[], float]) -> Iterator[None]:
    """Production's modules with the model's clock, and without threads, signals and logs of their own."""
    clock = SimpleNamespace(monotonic=now, time=now)
    with ExitStack() as stack:
        for target, replacement in (
            ("agent.worker.monotonic", now),
            ("agent.worker.count_active", count_active),
            ("agent.worker.count_slots", count_slots),
            ("agent.worker.end_process", end_process),
            ("agent.worker.worker_shutting_down", Mock()),
            ("agent.worker.worker_shutdown", Mock()),
            ("agent.worker.FleetAgent.start", lambda _: None),
            ("agent.fleet_agent.time", clock),
            ("agent.fleet_agent.log", Mock()),
            # Half a day would take too many steps.
            ("agent.conduct.LEASE_MINUTES", LEASE_MINUTES),
            ("agent.fleet_agent.LEASE_MINUTES", LEASE_MINUTES),
            ("autoscaler.tick.time", clock),
        ):
            stack.enter_context(patch(target, replacement))
        stack.enter_context(
            patch.dict(os.environ, {variables.BROKER_URL: "redis://model", variables.AGENT_URI: "http://model"})
        )
        yield
