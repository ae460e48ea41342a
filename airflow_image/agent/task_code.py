"""Tells a task's process which DAG code it runs: Celery imports this module in a worker, whose pool's processes use it.

A pool's process supervises the task and passes its environment on to it.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery.signals import task_prerun

from agent import names
from agent.versions import CodeHash, code_folders

log = logging.getLogger(__name__)

_code = CodeHash(code_folders(os.environ))


def note_code(**_: Any) -> None:
    """Looks at the files now: what the next task imports is what is there at this moment."""
    try:
        os.environ[names.DAGS_HASH] = _code.read()
    except OSError as error:
        os.environ[names.DAGS_HASH] = ""
        log.warning("fleet: the DAG files cannot be hashed: %s", error)


task_prerun.connect(note_code)
