"""Gives each container a user of its own when root starts the stack, because as root every attack would succeed.

The image's user is 50000 in every container. On Fargate namespaces keep containers apart: none sees the processes of
another. Here all of them are processes of one machine, where the kernel keeps only different users apart: it closes
/proc/PID/environ, /proc/PID/mem, ptrace and signals between them. So each container gets a uid of its own from 50000
on, and all of them the image's group.

The end of a container ends all processes of its user. So no two stacks may use one uid, not even one after the other: a
stack reserves ranges of them for as long as it lives.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.fargate.image import Image
from local.servers.process import LOG_TAIL_BYTES, UserIds, spawn, stop

FIRST_UID = GID = 50_000
END_UID = 65_000  # above it, systems give uids a meaning
RANGE = 500  # the containers of a long day of faults
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
        self._next = self._end = 0
        self._reservations: list[socket.socket] = []
        self._lock = threading.Lock()

    def new(self, *, shared: Sequence[Path] = (), reveal: Sequence[Path] = ()) -> ContainerUser:
        """Return a user that was not handed out before. Raises UnusableUserError when there is none left.

        `shared`: the folders of volumes that several containers of an ECS task mount. All of the group may use them.
        `reveal`: what this container must reach besides.
        """
        for folder in shared:
            os.chown(folder, -1, GID)
            folder.chmod(0o2770)
        with self._lock:
            if self._next == self._end:
                self._next = self._reserve()
                self._end = self._next + RANGE
            uid, self._next = self._next, self._next + 1
        return ContainerUser(ids=UserIds(uid, GID), reveal=tuple(dict.fromkeys((*self._reveal, *reveal, *shared))))

    def _reserve(self) -> int:
        """Reserve a range that no other stack has, and no process: a stack that was killed may have left some."""
        used = {p.info["uids"].real for p in psutil.process_iter(["uids"]) if p.info["uids"] is not None}
        for first in range(FIRST_UID, END_UID, RANGE):
            if used.isdisjoint(range(first, first + RANGE)) and self._hold(first):
                return first
        raise UnusableUserError(f"all user ids from {FIRST_UID} to {END_UID} are in use")

    def _hold(self, first: int) -> bool:
        """Bind a name that stands for the range. The kernel frees it when this process ends, however it ends."""
        if sys.platform != "linux":
            return True
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reservation.bind(f"\0airflow-on-ecs-users-{first}")
        except OSError:
            reservation.close()
            return False
        self._reservations.append(reservation)
        return True

    def close(self) -> None:
        """Free the ranges, after the last container has ended."""
        for reservation in self._reservations:
            reservation.close()


class UnusableUserError(Exception):
    """An unprivileged user cannot read what containers need; the reason in one line."""


def container_users(
    image: Image, *, authorities: Path, folder: Path, reveal: Sequence[Path] = ()
) -> ContainerUsers | None:
    """Return the users of the containers, or None if the stack does not run as root: then all have its user.

    Before, let such a user read the image, its interpreter and `authorities`; `folder`, which must exist, gets the log.
    Raise UnusableUserError if it cannot. `reveal`: what the users must reach besides.
    """
    if os.geteuid() != 0:
        return None
    python = image.packages / "bin" / "python"
    users = ContainerUsers((*_installations(python), image.packages, image.root, authorities, *reveal))
    user, log_path = users.new(), folder / "container-user.log"
    log_path.unlink(missing_ok=True)
    argv = [str(python), "-c", CHECK, str(image.entrypoint), str(image.root / "VERSION"), str(authorities)]
    child = spawn(argv, env={}, cwd="/", log_path=log_path, user=user.ids, reveal=user.reveal)
    try:
        code = child.wait(CHECK_TIMEOUT_S)
    finally:
        stop(child)
    if code != 0:
        users.close()
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
