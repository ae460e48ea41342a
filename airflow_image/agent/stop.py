"""Limits a worker's warm shutdown: at the deadline it ends the tasks' processes, and Airflow retries them at once.

The runner never ends their supervisors, which report the task's outcome and upload its log; then Celery acknowledges
the message, and the worker exits by itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import Any

from celery.signals import worker_shutting_down

from agent import ends, handover, variables

log = logging.getLogger(__name__)

# The task definition's stopTimeout is 120 s. After the last signal a supervisor took 0.2-6 s to report (measured).
GRACE_S = 90.0
REPEAT_EVERY_S = 0.5


def _at_deadline(grace_s: float) -> None:
    time.sleep(grace_s)
    log.warning("fleet: stop deadline reached, ending the tasks")
    ends.is_at_deadline.set()
    # Repeat until the process exits: a reserved task could still start.
    while True:
        with contextlib.suppress(OSError):
            if handover.runner is not None:
                handover.runner.end_tasks()
        time.sleep(REPEAT_EVERY_S)


def start_deadline(**_: Any) -> None:
    """Start the deadline when Celery is told to stop, because Celery would wait for its tasks without a limit."""
    grace_s = float(os.environ.get(variables.STOP_GRACE_S) or GRACE_S)
    threading.Thread(target=_at_deadline, args=(grace_s,), name="stop-deadline", daemon=True).start()


worker_shutting_down.connect(start_deadline)
