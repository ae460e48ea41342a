"""The memory of the runner's container as its control group counts it, and the container's limit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import variables

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MIB = 1024 * 1024
NO_LIMIT = 2**60  # version 1 says some such number where there is none
# Version 1 does not say which of the kernel's memory it can free again: mostly caches of names, which can grow to
# hundreds of MiB. So much of the limit counts at most, for page tables, stacks and sockets.
KERNELS_PART = 32


@dataclass(frozen=True, kw_only=True)
class ControlGroup:
    """A control group with a limit, in bytes."""

    folder: Path
    limit: int
    is_version_2: bool

    def used(self) -> int:
        """Return the bytes that the kernel cannot free by dropping caches. Raises OSError or ValueError."""
        counts = _counts(self.folder / "memory.stat")
        if self.is_version_2:
            caches = sum(counts.get(name, 0) for name in ("active_file", "inactive_file", "slab_reclaimable"))
            return int((self.folder / "memory.current").read_text()) - caches
        files = counts["total_active_file"] + counts["total_inactive_file"]
        processes = counts["total_rss"] + counts["total_shmem"]
        charged = int((self.folder / "memory.usage_in_bytes").read_text())
        return min(charged - files, processes + self.limit // KERNELS_PART)

    def kills(self) -> int | None:
        """Return how many processes the kernel has killed because the limit was reached; None if that is not known."""
        with contextlib.suppress(OSError, ValueError):
            for line in (self.folder / self._events()).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return None

    def _events(self) -> str:
        return "memory.events" if self.is_version_2 else "memory.oom_control"


def limit_of(environment: Mapping[str, str]) -> int | None:
    """Return the container's limit in bytes as its task definition states it, if it does. Raises ValueError."""
    mib = environment.get(variables.MEMORY_MIB)
    return int(mib) * MIB if mib else None


def control_group(stated: int | None, *, cgroups: Path = CGROUPS, own_groups: Path = OWN_GROUPS) -> ControlGroup | None:
    """Return the container's control group; None if there is none with a limit that can be read.

    `stated`: the limit of the task definition. A group with a higher limit, or none, is not the container's own: it may
    hold other processes.
    """
    for folder, is_version_2 in _own_folders(cgroups, own_groups):
        with contextlib.suppress(OSError, ValueError, KeyError):
            group = ControlGroup(
                folder=folder,
                limit=int((folder / ("memory.max" if is_version_2 else "memory.limit_in_bytes")).read_text()),
                is_version_2=is_version_2,
            )
            group.used()
            return group if group.limit <= (NO_LIMIT if stated is None else stated) else None
    return None


def _own_folders(cgroups: Path, own_groups: Path) -> Iterator[tuple[Path, bool]]:
    """Yield where the group may be, the likelier place first: a container may see its own group as the root."""
    with contextlib.suppress(OSError, ValueError):
        for line in own_groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "memory":
                yield from ((cgroups / "memory" / place, False) for place in (path.lstrip("/"), ""))
            elif not controllers:
                yield from ((cgroups / place, True) for place in (path.lstrip("/"), ""))


def _counts(path: Path) -> dict[str, int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pairs = os.read(descriptor, 65_536).split()
    finally:
        os.close(descriptor)
    return {name.decode(): int(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
