"""The state folder of a local stack: held by one stack at a time, and emptied before it starts."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from local.servers.postgres import Postgres
from project import paths
from project.errors import CommandError


@contextlib.contextmanager
def held_state() -> Iterator[None]:
    """Hold the lock of the state folder: two stacks would share logs and task folders."""
    paths.STATE.mkdir(parents=True, exist_ok=True)
    with paths.LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"a local stack with the state folder {paths.STATE} is running already; end it with `make down`"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def empty_state() -> None:
    """Remove what the last stack left in the folder, and make its parts."""
    Postgres(paths.POSTGRES).remove()  # left by a start that was killed; it knows where it put its files
    for left in paths.SNAPSHOTS.glob("*/"):
        Postgres(left).remove()
    of_tasks = (paths.LOGS, paths.TASKS, paths.IMAGES, paths.FUNCTIONS)
    for folder in (*of_tasks, paths.MAIL, paths.REDIS, paths.SNAPSHOTS, paths.TEMPORARY):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
