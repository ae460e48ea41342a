"""The runner's supervisors: each has one workload at a time, and a task goes to one that is idle, if there is one."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.runner import protocol
from agent.runner.memory_report import MemoryReport
from agent.runner.protocol import Start

IDLE_S = 2.0  # an idle supervisor holds some 20 MiB; in a stream of tasks it waits for a fraction of a second
MAX_MESSAGE = 64  # bytes


@dataclass(kw_only=True, eq=False)
class Member:
    """A supervisor, as the runner knows it.

    `channel`: to the supervisor; None once it was told to end. `stream`: of its workload, to the worker; None while it
    is idle, which it is since `idle_since` by the monotonic clock.
    """

    channel: socket.socket | None
    report: MemoryReport = field(default_factory=MemoryReport)
    stream: socket.socket | None = None
    number: int = 0
    zygote: int | None = None
    idle_since: float = 0.0

    def assign(self, start: Start, stream: socket.socket) -> None:
        """Let it run a workload. Raises OSError, as when it has just died."""
        if self.channel is None:
            raise BrokenPipeError("the supervisor was told to end")
        self.report.reset()
        protocol.assign(self.channel, start, stream)
        # This process never reads from the stream, and writes to it only if the supervisor dies.
        self.stream, self.number = stream, start.number

    def listen(self) -> None:
        """Read all that it has said."""
        while self.channel is not None:
            try:
                message = self.channel.recv(MAX_MESSAGE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:  # it ends
                self.tell_to_end()
            elif message == protocol.IDLE and self.stream is not None:
                self.stream.close()
                self.stream, self.idle_since = None, time.monotonic()
            elif (zygote := protocol.zygote_in(message)) is not None:
                self.zygote = zygote

    def tell_to_end(self) -> None:
        """Let it end when it has no workload."""
        if self.channel is not None:
            self.channel.close()
        self.channel = None

    def close(self) -> None:
        """Close in this process what belongs to it."""
        self.tell_to_end()
        self.report.close()
        if self.stream is not None:
            self.stream.close()


class Supervisors:
    """All of them. `fork` runs what it is given in a forked process, and returns its process id; raises OSError."""

    def __init__(self, fork: Callable[[Callable[[], None]], int]) -> None:
        self._fork = fork
        self._members: dict[int, Member] = {}

    def assign(
        self,
        start: Start,
        stream: socket.socket,
        work: Callable[[socket.socket, MemoryReport], None],
        *,
        is_reusable: bool,
    ) -> None:
        """Let a supervisor run a workload: a new one, which does `work`, or an idle one if `is_reusable`.

        Raises OSError.
        """
        self.listen()
        while is_reusable and (idle := self._idle()):
            try:
                idle[-1].assign(start, stream)
                return
            except OSError:  # it has just died
                idle[-1].tell_to_end()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        member = Member(channel=ours)

        def begin() -> None:
            ours.close()
            work(theirs, member.report)

        with theirs:
            try:
                pid = self._fork(begin)
            except OSError:
                member.close()
                raise
        self._members[pid] = member
        member.assign(start, stream)

    def listen(self) -> None:
        """Read what they have said, without waiting for it."""
        speaking = select.poll()
        by_descriptor = {each.channel.fileno(): each for each in self._members.values() if each.channel is not None}
        for descriptor in by_descriptor:
            speaking.register(descriptor, select.POLLIN)
        for descriptor, _ in speaking.poll(0) if by_descriptor else ():
            by_descriptor[descriptor].listen()

    def end_idle(self, *, after_s: float = IDLE_S) -> None:
        """Let those end that have been idle for so long."""
        now = time.monotonic()
        for each in self._idle():
            if now - each.idle_since >= after_s:
                each.tell_to_end()

    def take(self, pid: int) -> Member | None:
        """Return one that has ended, and forget it; None if it was none of them."""
        return self._members.pop(pid, None)

    def reports(self) -> dict[int, MemoryReport]:
        """Return the reports by process id."""
        return {pid: each.report for pid, each in self._members.items()}

    def numbers(self) -> dict[int, int]:
        """Return the numbers of the workloads that run, by process id."""
        return {pid: each.number for pid, each in self._members.items() if each.stream is not None}

    def zygotes(self) -> frozenset[int]:
        """Return the process ids of their zygotes."""
        return frozenset(each.zygote for each in self._members.values() if each.zygote is not None)

    def close(self) -> None:
        """Close in a forked process what belongs to them: a task could write to it."""
        for each in self._members.values():
            each.close()

    def _idle(self) -> list[Member]:
        """Return the idle ones; that which has worked last is the last, so those that are not needed end."""
        idle = [each for each in self._members.values() if each.stream is None and each.channel is not None]
        return sorted(idle, key=lambda each: each.idle_since)
