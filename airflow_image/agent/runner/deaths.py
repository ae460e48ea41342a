"""Answers the worker for supervisors that have died, once all of their tasks has ended."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Collection
from dataclasses import dataclass

from agent.runner import protocol
from agent.runner.orphans import MOST_S, Orphans, listed
from agent.runner.protocol import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Death:
    """A supervisor that has died, `since` when by the monotonic clock.

    The stream to the worker stays open, and the worker takes the task for active, until all of the task has ended.
    """

    pid: int
    status: int
    stream: socket.socket
    since: float


class Deaths:
    """The deaths of supervisors that the worker does not know of yet."""

    def __init__(self) -> None:
        self._orphans = Orphans()
        self._untold: list[Death] = []
        self._may_have_orphans = False

    def __bool__(self) -> bool:
        return bool(self._untold)

    def adopt_orphans(self) -> None:
        """Become the parent of what a dead supervisor leaves behind."""
        self._orphans.adopt()

    def note_end(self, pid: int, *, status: int, stream: socket.socket | None) -> None:
        """Note that a supervisor has ended, of its own accord or not. `stream`: None if it was idle."""
        self._may_have_orphans = True
        if stream is None:
            return
        if status:
            self._untold.append(Death(pid=pid, status=status, stream=stream, since=time.monotonic()))
        else:
            stream.close()

    def close(self) -> None:
        """Close the streams in a forked process, whose task could forge the outcome of another."""
        for death in self._untold:
            death.stream.close()

    def settle(self, own: Collection[int]) -> None:
        """End what is left of the tasks; once nothing is left, or after MOST_S, tell the worker.

        `own`: the process ids of the children that this process has forked.
        """
        if self._may_have_orphans:
            self._may_have_orphans = self._orphans.end(own)
        told = self._untold
        if self._may_have_orphans:
            told = [death for death in told if time.monotonic() - death.since > MOST_S]
            if not told:
                return
        if ended := self._orphans.take_ended():
            log.error("fleet: processes without a supervisor are ended: %s", listed(ended))
        for death in told:
            why = f"the supervisor {death.pid} died (wait status {death.status})"
            log.error("fleet: %s", why)
            is_started = not protocol.is_unread(death.stream)
            outcome = Outcome(is_started=is_started, error=protocol.SUPERVISOR_DIED, reason=why, left_behind=len(ended))
            answer(death.stream, outcome)
            ended = []  # which supervisor's they were is not known
        self._untold = [death for death in self._untold if death not in told]


def answer(stream: socket.socket, outcome: Outcome) -> None:
    """Send the outcome, unless there is one already or the worker has ended; close the stream."""
    with stream, contextlib.suppress(OSError):
        protocol.send_outcome(stream, outcome)
