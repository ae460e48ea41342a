"""Gives each container a user of its own when root starts the stack, because as root every attack would succeed.

The image's user is 50000 in every container. On Fargate namespaces keep containers apart: none sees the processes of
another. Here all of them are processes of one machine, where the kernel keeps only different users apart: it closes
/proc/PID/environ, /proc/PID/mem, ptrace and signals between them. So each container gets a uid of its own from 50000
on, and all of them the image's group.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.fargate.image import Image
from local.servers.process import LOG_TAIL_BYTES, UserIds, spawn, stop

FIRST_UID = GID = 50_000
UMASK = 0o002  # what one container writes into a shared folder, another may change: on Fargate they have one user
NAME = "airflow"  # the image's name of the user; here it has no entry in /etc/passwd
CHECK_TIMEOUT_S = 20.0
CHECK = "import sys; [open(path).close() for path in sys.argv[1:]]"


@dataclass(frozen=True, kw_only=True)
class ContainerUser:
    """The user of one container's processes. `reveal`: what it must reach below folders that are closed to it."""

    ids: UserIds
    reveal: tuple[Path, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which programs learn the user's name."""
        return {"USER": NAME, "LOGNAME": NAME}

    def own(self, home: Path) -> None:
        """Give the home folder, and all in it, to this user alone."""
        home.chmod(0o700)
        for path in (home, *home.rglob("*")):
            os.chown(path, *self.ids, follow_symlinks=False)


class ContainerUsers:
    """Hands out users. `reveal`: what every container must reach."""

    def __init__(self, reveal: tuple[Path, ...] = ()) -> None:
        self._reveal = reveal
        self._next = FIRST_UID
        self._lock = threading.Lock()

    def new(self, *, shared: Sequence[Path] = ()) -> ContainerUser:
        """Return a user that was not handed out before, and that no process of another stack has.

        `shared`: the folders of volumes that several containers of an ECS task mount. All of the group may use them.
        """
        for folder in shared:
            os.chown(folder, -1, GID)
            folder.chmod(0o2770)
        taken = set()
        for process in psutil.process_iter(["uids"]):
            if process.info["uids"] is not None:
                taken.add(process.info["uids"].real)
        with self._lock:
            while self._next in taken:
                self._next += 1
            uid, self._next = self._next, self._next + 1
        return ContainerUser(ids=UserIds(uid, GID), reveal=(*self._reveal, *shared))


class UnusableUserError(Exception):
    """An unprivileged user cannot read what containers need; the reason in one line."""


def container_users(image: Image, *, authorities: Path, folder: Path) -> ContainerUsers | None:
    """Return the users of the containers, or None if the stack does not run as root: then all have its user.

    Before, let such a user read the image, its interpreter and `authorities`; `folder`, which must exist, gets the log.
    Raise UnusableUserError if it cannot.
    """
    if os.geteuid() != 0:
        return None
    python = image.packages / "bin" / "python"
    users = ContainerUsers((*_installations(python), image.packages, image.root, authorities))
    user, log_path = users.new(), folder / "container-user.log"
    log_path.unlink(missing_ok=True)
    argv = [str(python), "-c", CHECK, str(image.entrypoint), str(image.root / "VERSION"), str(authorities)]
    child = spawn(argv, env={}, cwd="/", log_path=log_path, user=user.ids, reveal=user.reveal)
    try:
        code = child.wait(CHECK_TIMEOUT_S)
    finally:
        stop(child)
    if code != 0:
        said = log_path.read_text(errors="replace")[-LOG_TAIL_BYTES:].strip().splitlines()
        raise UnusableUserError(said[-1] if said else f"exit code {code}")
    return users


def _installations(python: Path) -> tuple[Path, ...]:
    """Return the installations that a virtual environment's python leads to, link by link."""
    found = []
    while python.is_symlink():
        python = python.parent / python.readlink()
        found.append(Path(os.path.normpath(python)).parent.parent)
    return tuple(dict.fromkeys(found))
