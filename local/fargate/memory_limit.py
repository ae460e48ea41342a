"""Limits the memory of each container by a control group, as ECS does, where this process may make one.

As root it may, with either version of control groups. Otherwise containers have no limit here.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
PREFIX = "airflow-on-ecs"
MIB = 1024 * 1024
OUT_OF_MEMORY = "OutOfMemoryError: container killed due to memory usage"  # ECS's words


@dataclass(frozen=True, kw_only=True)
class MemoryGroup:
    """The control group of one container. `kills`: the file in which the kernel counts processes that it killed."""

    folder: Path
    kills: Path

    @property
    def procs(self) -> Path:
        """The file to which a process writes its id to join."""
        return self.folder / "cgroup.procs"

    @property
    def has_run_out(self) -> bool:
        """Whether the kernel killed a process in it because the limit was reached."""
        with contextlib.suppress(OSError, ValueError):
            counts = dict(line.split() for line in self.kills.read_text().splitlines())
            return int(counts.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """Remove it; while a process is left in it, it stays."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class MemoryLimits:
    """Makes the control groups of this process's containers in `parent`."""

    def __init__(self, parent: Path, *, limit: str, kills: str) -> None:
        self._parent, self._limit, self._kills = parent, limit, kills
        self._made = 0

    def new(self, mib: int) -> MemoryGroup:
        """Make a group with this limit. Raises OSError."""
        self._made += 1
        folder = self._parent / f"{PREFIX}-{os.getpid()}-{self._made}"
        folder.mkdir()
        (folder / self._limit).write_text(str(mib * MIB))
        return MemoryGroup(folder=folder, kills=folder / self._kills)


def memory_limits(cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> MemoryLimits | None:
    """Return what makes limits, or None where this process may not; remove what ended stacks have left."""
    found = _version_2(cgroups) or _version_1(cgroups, own_groups)
    if found is None:
        return None
    parent, limit, kills = found
    for left in parent.glob(f"{PREFIX}-*"):
        with contextlib.suppress(OSError):
            left.rmdir()
    limits = MemoryLimits(parent, limit=limit, kills=kills)
    try:
        limits.new(1).remove()
    except OSError:
        return None
    return limits


def _version_2(cgroups: Path) -> tuple[Path, str, str] | None:
    with contextlib.suppress(OSError):
        if "memory" in (cgroups / "cgroup.subtree_control").read_text().split():
            return cgroups, "memory.max", "memory.events"
    return None


def _version_1(cgroups: Path, own_groups: Path) -> tuple[Path, str, str] | None:
    with contextlib.suppress(OSError):
        for line in own_groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            parent = cgroups / "memory" / path.lstrip("/")
            if controllers == "memory" and parent.is_dir():
                return parent, "memory.limit_in_bytes", "memory.oom_control"
    return None
