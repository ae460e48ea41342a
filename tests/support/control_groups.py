"""Control groups with a memory limit, for tests of what runs in one."""

from local.fargate.memory_limit import MemoryGroup, memory_limits
from tests.support.waiting import eventually


def memory_group(limit_mib: int) -> MemoryGroup | None:
    """Return a new group with this limit; None where this process may make none."""
    limits = memory_limits()
    return None if limits is None else limits.new(limit_mib)


def removed(group: MemoryGroup) -> bool:
    """Remove the group once its processes have ended; return whether it is gone."""

    def is_gone() -> bool:
        group.remove()
        return not group.folder.exists()

    return eventually(is_gone, within_s=5)
