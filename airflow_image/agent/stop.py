"""Limits a worker's warm shutdown: at the deadline it ends the tasks' processes, and Airflow retries them at once.

It never ends their supervisors, which report the task's outcome and upload its log; then Celery acknowledges the
message, and the worker exits by itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from typing import Any

import psutil
from celery.signals import worker_shutting_down

from agent import variables

log = logging.getLogger(__name__)

# The task definition's stopTimeout is 120 s. After the last signal a supervisor took 0.2-6 s to report (measured).
GRACE_S = 90.0
KILL_AFTER_S = 10.0
CHECK_EVERY_S = 0.5
TASK_TITLE = "airflow worker --"  # Airflow's title of a task's process, a child of its supervisor in Celery's pool


def task_processes(main: psutil.Process) -> list[psutil.Process]:
    """Return the processes in which tasks run: grandchildren of a worker's main process."""
    found = []
    for supervisor in main.children():
        with contextlib.suppress(psutil.Error):
            found += [task for task in supervisor.children() if " ".join(task.cmdline()).startswith(TASK_TITLE)]
    return found


def end_tasks(main: psutil.Process, *, kill_after_s: float) -> None:
    """End tasks until none is left: SIGTERM first, for their on_kill, then SIGKILL."""
    told: dict[psutil.Process, float] = {}
    while tasks := task_processes(main):
        now = time.monotonic()
        for task in tasks:
            with contextlib.suppress(psutil.Error):
                if task not in told:
                    told[task] = now
                    log.warning("fleet: stop deadline reached, ending task process %s", task.pid)
                    task.terminate()
                elif now - told[task] >= kill_after_s:
                    task.kill()
        time.sleep(CHECK_EVERY_S)


def _at_deadline(grace_s: float) -> None:
    time.sleep(grace_s)
    # Repeat until the process exits: a reserved task could still start.
    while True:
        end_tasks(psutil.Process(), kill_after_s=KILL_AFTER_S)
        time.sleep(CHECK_EVERY_S)


def start_deadline(**_: Any) -> None:
    """Start the deadline when Celery is told to stop, because Celery would wait for its tasks without a limit."""
    grace_s = float(os.environ.get(variables.STOP_GRACE_S) or GRACE_S)
    threading.Thread(target=_at_deadline, args=(grace_s,), name="stop-deadline", daemon=True).start()


worker_shutting_down.connect(start_deadline)
