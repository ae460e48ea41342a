"""Measures how long workers wait for the Execution API, and writes it to the log, from which CloudWatch makes a metric.

The load balancer cannot see it: workers reach the webserver by its name, not through the load balancer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence

from agent.web.listeners import Application, Receive, Scope, Send

FIELD = "execution_api_ms"  # the template's metric filter reads it
REPORT_EVERY_S = 60.0
CHECK_EVERY_S = 0.5
SHARE = 0.9  # the slowest tenth is left to chance


def write_line(line: str) -> None:
    """Write a line to the container's log. CloudWatch reads a line that is JSON as a whole, and no other."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Latency:
    """Passes requests on to `application`, and notes how long they took.

    A request also waits before the application gets it, while the event loop does something else. So the loop's
    lateness is added.
    """

    def __init__(
        self, application: Application, *, write: Callable[[str], None] = write_line, every_s: float = REPORT_EVERY_S
    ) -> None:
        self._application, self._write, self._every_s = application, write, every_s
        self._requests_s: list[float] = []
        self._late_s: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request as the application does."""
        began = time.monotonic()
        try:
            await self._application(scope, receive, send)
        finally:
            self._requests_s.append(time.monotonic() - began)

    @contextlib.asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Write a line each minute until the block ends."""
        task = asyncio.create_task(self._report_forever())
        try:
            yield
        finally:
            task.cancel()

    def forget(self) -> None:
        """Forget the requests so far, such as the first ones, which are slow."""
        self._requests_s = []

    async def _report_forever(self) -> None:
        due = time.monotonic() + self._every_s
        while True:
            began = time.monotonic()
            await asyncio.sleep(CHECK_EVERY_S)
            now = time.monotonic()
            self._late_s.append(now - began - CHECK_EVERY_S)
            if now >= due:
                due = now + self._every_s
                self._write(self._line())

    def _line(self) -> str:
        requests, late = self._requests_s, self._late_s
        self._requests_s, self._late_s = [], []
        waited_ms = 1000 * (quantile(requests) + quantile(late))
        figures = {FIELD: round(waited_ms, 1), "requests": len(requests), "process": os.getpid()}
        return json.dumps(figures)


def quantile(seconds: Sequence[float]) -> float:
    """Return the value that SHARE of the values do not exceed; 0 without any."""
    return sorted(seconds)[int(SHARE * (len(seconds) - 1))] if seconds else 0.0
