"""Makes the webserver's first requests, which are slow, before anyone else's."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import httpx

from agent.web.listeners import Application

log = logging.getLogger(__name__)


class NotReadyError(Exception):
    """The webserver does not answer one of its own first requests."""


async def answer_each_kind(application: Application, paths_of_port: Mapping[int, tuple[str, ...]]) -> None:
    """Let the application answer one request of each kind; raise NotReadyError unless it does.

    The first request of a kind takes seconds, because Airflow imports and builds on demand. A request of a task
    or a browser must not wait for that, so the server begins to listen afterwards.
    """
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport) as client:
        for port, paths in paths_of_port.items():
            for path in paths:
                began = time.monotonic()
                answer = await client.get(f"http://localhost:{port}{path}")
                if answer.status_code != httpx.codes.OK:
                    raise NotReadyError(f"the webserver answers its own first request of {path} {answer.status_code}")
                log.info("first request of %s answered after %.1f s", path, time.monotonic() - began)
