"""Bounds a worker's warm shutdown: at the deadline the tasks' processes are ended, and Airflow retries them at once.

Never their supervisors: these, alive, report what became of the task and upload its log; then Celery acknowledges the
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
LOOK_EVERY_S = 0.5
TASK_TITLE = "airflow worker --"  # what Airflow calls a task's process, a child of its supervisor in Celery's pool


def task_processes(main: psutil.Process) -> list[psutil.Process]:
    """The processes in which tasks run: children of the children of a worker's main process."""
    found = []
    for supervisor in main.children():
        with contextlib.suppress(psutil.Error):
            found += [task for task in supervisor.children() if " ".join(task.cmdline()).startswith(TASK_TITLE)]
    return found


def end_tasks(main: psutil.Process, *, kill_after_s: float) -> None:
    """Ends tasks until none is left: SIGTERM, for their on_kill, and SIGKILL for those that stay."""
    told: dict[psutil.Process, float] = {}
    while tasks := task_processes(main):
        now = time.monotonic()
        for task in tasks:
            with contextlib.suppress(psutil.Error):
                if task not in told:
                    told[task] = now
                    log.warning("fleet: the time to stop is up, ending task process %s", task.pid)
                    task.terminate()
                elif now - told[task] >= kill_after_s:
                    task.kill()
        time.sleep(LOOK_EVERY_S)


def _at_deadline(grace_s: float) -> None:
    time.sleep(grace_s)
    # Until the process exits: a reserved task could still start.
    while True:
        end_tasks(psutil.Process(), kill_after_s=KILL_AFTER_S)
        time.sleep(LOOK_EVERY_S)


def start_deadline(**_: Any) -> None:
    """Celery was told to stop, and waits for its tasks without end."""
    grace_s = float(os.environ.get(variables.STOP_GRACE_S) or GRACE_S)
    threading.Thread(target=_at_deadline, args=(grace_s,), name="stop-deadline", daemon=True).start()


worker_shutting_down.connect(start_deadline)
