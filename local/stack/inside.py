"""Runs a program as a container of the running local stack would: with its variables, packages, user and folders."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import psutil

from project import paths
from project.errors import CommandError
from project.running import find_stack

CLONE_NEWNS = 0x20000  # linux/sched.h
ROLE = "dag-processor"  # it has what Airflow's commands need: the database, the keys of connections, the DAG files
ROLE_VARIABLE, HOME_VARIABLE = "FLEET_ROLE", "AIRFLOW_HOME"
PASSED_ON = ("TERM", "COLUMNS", "LINES")


def find_container(role: str = ROLE) -> psutil.Process:
    """Return the first process of the newest container of that role of this stack. Raises CommandError."""
    find_stack()
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            given = process.environ()
            is_ours = Path(given.get(HOME_VARIABLE, "/")).is_relative_to(paths.TASKS.resolve())
            if is_ours and given.get(ROLE_VARIABLE) == role and os.getsid(process.pid) == process.pid:
                found.append((process.create_time(), process))
    if not found:
        raise CommandError(f"no container {role} is running; wait until the stack runs, then try again")
    return max(found, key=lambda each: each[0])[1]


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by the program, which is found on the container's path. Raises CommandError."""
    container = find_container()
    try:
        environment = {**container.environ(), **{n: v for n in PASSED_ON if (v := os.environ.get(n))}}
        ids = container.uids(), container.gids()
    except psutil.Error as error:
        raise CommandError(f"the container {ROLE} has ended: {type(error).__name__}") from None
    program = shutil.which(argv[0], path=environment["PATH"])
    if program is None:
        raise CommandError(f"{argv[0]} is not in the image")
    if os.geteuid() == 0:
        _enter(container.pid)
        os.setgroups([])
        os.setgid(ids[1].real)
        os.setuid(ids[0].real)
    os.chdir(environment[HOME_VARIABLE])
    os.execve(program, [*argv], environment)  # noqa: S606 - no shell is the point


def _enter(pid: int) -> None:
    """Enter the mount namespace of the process: folders that are closed to its user are open there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/mnt").open("rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNS) != 0:
            raise CommandError(f"the container's folders cannot be entered: {os.strerror(ctypes.get_errno())}")
