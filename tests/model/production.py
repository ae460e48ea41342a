"""Production's modules, put into the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest.mock import Mock, patch

from fleet import names
from tests.model.worker import count_active


@contextmanager
def production(now: Callable[[], float]) -> Iterator[None]:
    """Production's modules with the model's clock, and without threads, signals and logs of their own."""
    clock = SimpleNamespace(monotonic=now, time=now)
    with ExitStack() as stack:
        for target, replacement in (
            ("fleet.worker.monotonic", now),
            ("fleet.worker.count_active", count_active),
            ("fleet.worker.worker_shutting_down", Mock()),
            ("fleet.worker.worker_shutdown", Mock()),
            ("fleet.worker.Agent.start", lambda _: None),
            ("fleet.agent.time", clock),
            ("fleet.agent.log", Mock()),
            ("autoscaler.look.time", clock),
        ):
            stack.enter_context(patch(target, replacement))
        stack.enter_context(
            patch.dict(os.environ, {names.BROKER_URL: "redis://model", names.AGENT_URI: "http://model"})
        )
        yield
