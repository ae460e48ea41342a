"""Runs a worker: `python -m agent.start_worker`. Celery's own command line would import much more."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial
from socket import socket
from typing import Any

from celery.signals import worker_ready

from agent import log_listener, variables
from agent.celery_app import app
from agent.lineage.process import Beside


def main() -> int:
    """Run until the worker is told to stop; return the exit code."""
    environment = dict(os.environ)
    start_log_server = partial(_start_log_server, log_listener.listen(environment), environment)
    worker_ready.connect(start_log_server)  # not before: the start of the worker is urgent
    lineage = Beside(environment)
    worker_ready.connect(lineage.start)
    worker = app.Worker(
        queues=os.environ[variables.QUEUES].split(","),
        concurrency=int(os.environ[variables.SLOTS]),
        # A thread waits for each workload, which the runner runs.
        pool_cls="threads",
        optimization="fair",
        loglevel=logging.INFO,
        # No one uses them: they cost a second at the start, and messages from each worker to every other.
        without_mingle=True,
        without_gossip=True,
    )
    try:
        worker.start()
    finally:
        lineage.end()
    return int(worker.exitcode or 0)


def _start_log_server(listener: socket | None, environment: Mapping[str, str], **_: Any) -> None:
    log_listener.start_server(listener, environment)


if __name__ == "__main__":
    sys.exit(main())
