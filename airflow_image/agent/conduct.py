"""Decides what a worker may do: consume only while protected, and give up protection only when surely idle.

Pure: the time, the orders, the event loop's snapshots and ECS's answers are arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeGuard

from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, STOPPED
from fleet.registry import ORDER_CONSUME, ORDERS

# Long enough to outlast an outage of ECS's API: without protection, workers would stop consuming, and ECS could stop
# them with their tasks. A worker whose agent hangs does not keep it for so long: see roles.health.
LEASE_MINUTES = 12 * 60
RENEW_EVERY_S = 300.0
# A lease is trusted until this long before its end, to allow for slow answers and a slow reaction to its end.
LEASE_MARGIN_S = 60.0
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 15.0
# An unanswered request may still take effect: the ECS agent keeps asking ECS after its caller has timed out.
LATE_EFFECT_S = 10.0
# A message can be popped just as consumption is cancelled, so a worker counts as idle only after this time of quiet.
CONFIRM_IDLE_S = 2.0
# The event loop ticks four times a second; a snapshot older than this says nothing about the present.
SNAPSHOT_FRESH_S = 1.5
# Redis answers an empty BRPOP after 1 s. A busy machine may take some seconds more.
PROOF_S = 10.0
# A worker without a task that cannot be helped ends, and ECS starts another. If the broker takes no reports either, it
# ends later, because then the broker may be away for all workers.
REPLACE_AFTER_S = 60.0
REPLACE_UNHEARD_AFTER_S = 900.0

NOT_CONNECTED = "not connected to its queues"
NO_ANSWER = "no answer to its requests for messages"
NO_EVENT_LOOP = "the event loop stands still"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to the event loop. Each change has a new epoch, so that no earlier snapshot counts after it."""

    consume: bool
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The event loop's state `at` a monotonic time, while it obeyed the command of `epoch`.

    `active`: tasks that run, are reserved, or are not acknowledged. `idle`: idle for at least CONFIRM_IDLE_S.
    `read_at`: when the broker last answered a request for messages on the present connection, or `at` if there is no
    free slot.
    """

    at: float
    epoch: int
    consuming: bool
    active: int
    idle: bool
    read_at: float = 0.0


class IdleWatch:
    """Confirms that a worker was idle for CONFIRM_IDLE_S, without a break and under one command."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._epoch: int | None = None

    def check(self, *, quiet: bool, epoch: int, now: float) -> bool:
        """Note whether the worker is quiet at this tick; return whether it is confirmed as idle."""
        if not quiet:
            self._since = None
        elif self._since is None or epoch != self._epoch:
            self._since = now
        self._epoch = epoch
        return self._since is not None and now - self._since >= CONFIRM_IDLE_S


class Request(Enum):
    """The request to make of the ECS agent now."""

    NOTHING = "nothing"
    PROTECT = "protect"
    UNPROTECT = "unprotect"


_OPPOSITE = {Request.PROTECT: Request.UNPROTECT, Request.UNPROTECT: Request.PROTECT}


class Protection(Enum):
    """The known state of the ECS task's scale-in protection. UNKNOWN: a request's outcome was not reported."""

    NOT_HELD = "not held"
    HELD = "held"
    UNKNOWN = "unknown"


class Conduct:
    """A worker's state machine, starting -> consuming <-> draining <-> drained. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._order = ORDER_CONSUME  # until the first order is read
        self._permitted = False
        self._stopping = False
        self._protection = Protection.NOT_HELD  # a task is not protected when it starts
        self._lease_until = self._renew_at = 0.0
        self._command = Command(consume=False, epoch=0)
        self._consumed_epoch: int | None = None
        self._proven_at = 0.0
        self._proven_epoch: int | None = None
        self._failed: Request | None = None
        self._retry_at = 0.0
        self._retry_s = RETRY_FIRST_S
        # An unanswered request may take effect until this time.
        self._late = {Request.PROTECT: 0.0, Request.UNPROTECT: 0.0}

    @property
    def protected(self) -> bool:
        """Return whether the ECS task may be protected: the autoscaler must then count it as protected."""
        return self._protection is not Protection.NOT_HELD

    def obey(self, order: str | None) -> None:
        """Take the order that was read. With None or an unknown order the last one stands."""
        if order in ORDERS and order != self._order:
            self._order = order
            self._failed = None  # a recalled worker does not wait for the pause after an earlier failure to end

    def permit(self, permitted: bool) -> None:
        """Set whether the worker may take tasks at all, regardless of its order: see agent.gates.Permission."""
        self._permitted = permitted

    def shut_down(self) -> None:
        """Note that the process is being stopped, which is final."""
        self._stopping = True

    def command(self, now: float) -> Command:
        """Return the command for the event loop.

        It is to consume if the order says so, the worker is permitted, its lease surely holds and it is not stopping.
        """
        held = self._protection is Protection.HELD and now < self._lease_until
        consume = self._order == ORDER_CONSUME and self._permitted and held and not self._stopping
        if consume != self._command.consume:
            self._command = Command(consume=consume, epoch=self._command.epoch + 1)
        return self._command

    def next_request(self, snapshot: Snapshot | None, now: float) -> Request:
        """Return the request to make of the ECS agent now; pass its outcome to `answered`."""
        request = self._request_due(snapshot, now)
        return Request.NOTHING if request is self._failed and now < self._retry_at else request

    def answered(self, request: Request, *, granted: bool | None, asked_at: float, now: float) -> None:
        """Take a request's outcome: granted, refused (so nothing changed), or None when it is unknown.

        A grant counts as unknown while an earlier request for the opposite may still take effect.
        """
        if granted is None:
            self._late[request] = now + LATE_EFFECT_S
        elif granted and asked_at < self._late[_OPPOSITE[request]]:
            granted = None
        if granted:
            self._failed = None
            self._protection = Protection.HELD if request is Request.PROTECT else Protection.NOT_HELD
            self._lease_until = asked_at + LEASE_MINUTES * 60 - LEASE_MARGIN_S
            self._renew_at = asked_at + RENEW_EVERY_S
            return
        if granted is None and not (request is Request.PROTECT and self._protection is Protection.HELD):
            self._protection = Protection.UNKNOWN  # not for a renewal, which at worst leaves the lease as it was
        self._retry_s = RETRY_FIRST_S if self._failed is not request else min(2 * self._retry_s, RETRY_MOST_S)
        self._failed, self._retry_at = request, now + self._retry_s

    def state(self, snapshot: Snapshot | None, *, active: int, now: float) -> str:
        """Return the state to report. A worker between two states reports the one that promises less."""
        if self._stopping:
            return DRAINING if active else STOPPED
        command = self.command(now)
        if command.consume:
            if is_fresh(snapshot, now) and snapshot.consuming and snapshot.epoch == command.epoch:
                self._consumed_epoch = command.epoch
            if self._consumed_epoch == command.epoch:
                return CONSUMING
        elif self._order != ORDER_CONSUME:
            drained = self._protection is Protection.NOT_HELD and self._is_idle(snapshot, now)
            return DRAINED if drained else DRAINING
        return STARTING if self._consumed_epoch is None else DRAINING

    def trouble(self, snapshot: Snapshot | None, now: float) -> str:
        """Return why the worker takes no messages although it reports `consuming`; nothing while it surely does.

        That it consumes is no memory: within PROOF_S the broker must have answered a request for messages. Only then
        does the worker have free slots.
        """
        command = self.command(now)
        if command.epoch != self._proven_epoch:
            self._proven_epoch, self._proven_at = command.epoch, now
        if snapshot is not None and snapshot.epoch == command.epoch:
            self._proven_at = max(self._proven_at, snapshot.read_at if command.consume else snapshot.at)
        if self._consumed_epoch != command.epoch or now - self._proven_at <= PROOF_S:
            return ""
        if snapshot is None:
            return NOT_CONNECTED
        return NO_ANSWER if is_fresh(snapshot, now) else NO_EVENT_LOOP

    def is_beyond_help(self, *, active: int, heard_since: float | None, now: float) -> bool:
        """Return whether another worker should take this one's place: it runs no task, and nothing has moved for long.

        `heard_since`: since when the broker has taken its reports, None while it does not. After an outage a worker has
        the whole time to connect again. To be asked after `trouble`.
        """
        if active or self._stopping or self._proven_epoch is None:
            return False
        if heard_since is None:
            return now - self._proven_at > REPLACE_UNHEARD_AFTER_S
        return now - max(self._proven_at, heard_since) > REPLACE_AFTER_S

    def _request_due(self, snapshot: Snapshot | None, now: float) -> Request:
        self.command(now)  # idleness counts under the present command only
        if self._stopping:
            # ECS refuses to protect a task that it stops, and giving up protection gains nothing.
            return Request.NOTHING
        if self._order != ORDER_CONSUME:
            if self._protection is Protection.NOT_HELD:
                return Request.NOTHING
            if self._is_idle(snapshot, now):
                return Request.UNPROTECT
        elif not self._permitted and self._protection is Protection.NOT_HELD:
            return Request.NOTHING  # ECS may replace a worker that waits, and others need the protection more
        due = self._protection is not Protection.HELD or now >= self._renew_at
        return Request.PROTECT if due else Request.NOTHING

    def _is_idle(self, snapshot: Snapshot | None, now: float) -> bool:
        return (
            is_fresh(snapshot, now)
            and snapshot.idle
            and snapshot.epoch == self._command.epoch
            and not self._command.consume
        )


def is_fresh(snapshot: Snapshot | None, now: float) -> TypeGuard[Snapshot]:
    """Return whether there is a snapshot that is recent enough to count."""
    return snapshot is not None and now - snapshot.at <= SNAPSHOT_FRESH_S
