"""Runs a worker: `python -m agent.start_worker`. Celery's own command line would import much more.

`--skip-serve-logs`: without a server for the logs of running tasks.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import Any

from celery.signals import worker_ready

from agent import variables
from agent.celery_app import app

SKIP_LOG_SERVER = "--skip-serve-logs"  # as Airflow's own commands name it


def main(arguments: list[str]) -> int:
    """Run until the worker is told to stop; return the exit code."""
    if SKIP_LOG_SERVER not in arguments:
        worker_ready.connect(_serve_logs)
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
    worker.start()
    return int(worker.exitcode or 0)


def _serve_logs(**_: Any) -> None:
    """Start the log server, which imports Airflow: not before the worker is ready, and with less priority."""
    subprocess.Popen(["nice", "-n", "10", sys.executable, "-m", "agent.log_files"], stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
