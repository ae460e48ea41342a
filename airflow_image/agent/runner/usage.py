"""Says which task holds how much of the container's memory, and through which processes.

What a process shares with its parent since the fork counts once, for the parent. The kernel does not tell the runner
how much that is; it is at most what the parent had when the process was first seen. What a process copies of it by
writing to it is not known either: the same number stands for it in every process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from agent.runner.container_memory import MIB
from agent.runner.processes import Held, Process, held, processes

# Measured with idle tasks: a supervisor copies 12 MiB of the runner's memory, a task 20 MiB.
COPIED = 16 * MIB
ZYGOTE_COPIED = 4 * MIB


@dataclass(frozen=True, kw_only=True)
class Use:
    """The memory of one task, or of a process that a task has left behind, with all that it has started.

    `key`: the process id of the task's supervisor, or that of the process that was left behind.
    """

    key: int
    is_task: bool
    pids: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`uses` by key. `total`: bytes that the runner and all that it has started hold, by estimate.

    `running`: the processes that have not ended.
    """

    uses: Mapping[int, Use]
    total: int
    running: frozenset[int]


@dataclass
class Ledger:
    """Remembers what each process inherited. `main`: the runner's own process id."""

    main: int
    _inherited: dict[tuple[int, int], int] = field(default_factory=dict)

    def read(self, *, supervisors: Collection[int], zygotes: Collection[int] = (), others: Collection[int]) -> Reading:
        """Read the memory of all that the runner has started.

        `zygotes`: children of supervisors that are no tasks. `others`: the runner's own processes besides supervisors.
        """
        found = processes()
        children: dict[int, list[Process]] = {}
        for process in found.values():
            children.setdefault(process.parent, []).append(process)
        known: dict[int, Held | None] = {self.main: held(self.main)}
        self._forget_the_ended(found)
        uses, total = {}, _sum(known[self.main])
        for child in children.get(self.main, ()):
            if child.pid in others:
                continue
            is_task = child.pid in supervisors
            tree = list(_tree(child, children))
            for process in tree:
                known[process.pid] = None if process.is_over else held(process.pid)
            own = {}
            for process in tree:
                # A supervisor may have grown since it forked its task.
                parent = self.main if process.parent in supervisors else process.parent
                copied = ZYGOTE_COPIED if process.pid in zygotes else COPIED
                own[process.pid] = self._own(process, known[process.pid], known[parent], copied)
            members = [each for each in tree[1:] if each.pid not in zygotes] if is_task else tree
            shared = max((kept.shared for p in tree if (kept := known[p.pid]) is not None), default=0)
            uses[child.pid] = Use(
                key=child.pid,
                is_task=is_task,
                pids=tuple(process.pid for process in members if not process.is_over),
                bytes=sum(own[process.pid] for process in members) + shared,
            )
            total += sum(own.values()) + shared
        return Reading(uses=uses, total=total, running=frozenset(p.pid for p in found.values() if not p.is_over))

    def _own(self, process: Process, kept: Held | None, parent: Held | None, copied: int) -> int:
        """Return the bytes that a process has besides those that it shares with its parent."""
        if kept is None:
            return 0
        identity = (process.pid, process.started)
        if not process.is_fork:
            self._inherited[identity] = 0
        elif identity not in self._inherited:
            self._inherited[identity] = 0 if parent is None else parent.own
        return max(0, kept.own - self._inherited[identity]) + (copied if process.is_fork else 0)

    def _forget_the_ended(self, found: Mapping[int, Process]) -> None:
        for pid, started in list(self._inherited):
            if pid not in found or found[pid].started != started:
                del self._inherited[pid, started]


def _tree(root: Process, children: Mapping[int, list[Process]]) -> Iterator[Process]:
    """Yield a process and all below it, each after its parent."""
    waiting = [root]
    while waiting:
        process = waiting.pop()
        yield process
        waiting += children.get(process.pid, ())


def _sum(kept: Held | None) -> int:
    return 0 if kept is None else kept.own + kept.shared
