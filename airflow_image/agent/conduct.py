"""Decides what a worker may do: consume only while protected, and give protection up only when surely idle.

Pure: the time, the orders, what the worker's event loop saw and what ECS answered are all told to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeGuard

from fleet.registry import CONSUMING, DRAINED, DRAINING, ORDER_CONSUME, ORDERS, STARTING, STOPPED

# Long enough to outlive an endpoint that is away for minutes, short enough that a worker whose agent hangs does not
# hold up a deployment for hours.
LEASE_MINUTES = 30
RENEW_EVERY_S = 300.0
# What a lease is trusted for ends this much earlier than it does, for slow answers and a slow reaction to its end.
LEASE_MARGIN_S = 60.0
RETRY_FIRST_S = 1.0
RETRY_MOST_S = 15.0
# A request that nobody answered may still take effect: the ECS agent goes on asking ECS when its caller has given up.
LATE_EFFECT_S = 10.0
# A message can be popped just as consumption is cancelled: idleness counts only after so long without interruption.
CONFIRM_IDLE_S = 2.0
# The event loop looks four times a second; a snapshot older than this says nothing about the present.
SNAPSHOT_FRESH_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the event loop is told. Each change has an epoch of its own, so that nothing seen before it counts after."""

    consume: bool
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the event loop saw `at` a monotonic time, while it obeyed the command of `epoch`.

    `active`: tasks that run, are reserved, or are not acknowledged. `idle`: confirmed for CONFIRM_IDLE_S.
    """

    at: float
    epoch: int
    consuming: bool
    active: int
    idle: bool


class IdleWatch:
    """Confirms idleness that lasted, without a break and under one command."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._epoch: int | None = None

    def look(self, *, quiet: bool, epoch: int, now: float) -> bool:
        """Told at each look whether all is quiet; whether that is confirmed by now."""
        if not quiet:
            self._since = None
        elif self._since is None or epoch != self._epoch:
            self._since = now
        self._epoch = epoch
        return self._since is not None and now - self._since >= CONFIRM_IDLE_S


class Wish(Enum):
    """What should be asked of the ECS agent now."""

    NOTHING = "nothing"
    PROTECT = "protect"
    RELEASE = "release"


_OPPOSITE = {Wish.PROTECT: Wish.RELEASE, Wish.RELEASE: Wish.PROTECT}


class Protection(Enum):
    """What is known about the task's scale-in protection. UNKNOWN: asked, and no answer says what came of it."""

    RELEASED = "released"
    HELD = "held"
    UNKNOWN = "unknown"


class Conduct:
    """A worker's state machine, starting -> consuming <-> draining <-> drained. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._order = ORDER_CONSUME  # until the first order is read
        self._permitted = False
        self._stopping = False
        self._protection = Protection.RELEASED  # a task is not protected when it starts
        self._lease_until = self._renew_at = 0.0
        self._command = Command(consume=False, epoch=0)
        self._consumed_epoch: int | None = None
        self._failed: Wish | None = None
        self._retry_at = 0.0
        self._retry_s = RETRY_FIRST_S
        self._late = {Wish.PROTECT: 0.0, Wish.RELEASE: 0.0}  # until when an unanswered request may take effect

    @property
    def protected(self) -> bool:
        """Whether the task may be protected: the scaler must count it then."""
        return self._protection is not Protection.RELEASED

    def obey(self, order: str | None) -> None:
        """Takes the order that was read. None, or one that nobody knows: the last one stands."""
        if order in ORDERS and order != self._order:
            self._order = order
            self._failed = None  # a recalled worker does not wait for the pause after an earlier failure to end

    def permit(self, permitted: bool) -> None:
        """Whether the worker may take tasks at all, whatever it is ordered: see agent.gates.Permission."""
        self._permitted = permitted

    def shut_down(self) -> None:
        """The process is being stopped, and there is no way back."""
        self._stopping = True

    def command(self, now: float) -> Command:
        """What the event loop must do: consume by order, if permitted, with a lease that is known to hold, and never at
        the end.
        """
        held = self._protection is Protection.HELD and now < self._lease_until
        consume = self._order == ORDER_CONSUME and self._permitted and held and not self._stopping
        if consume != self._command.consume:
            self._command = Command(consume=consume, epoch=self._command.epoch + 1)
        return self._command

    def wish(self, snapshot: Snapshot | None, now: float) -> Wish:
        """What to ask of the ECS agent now; what came of it goes to `answered`."""
        wish = self._wish(snapshot, now)
        return Wish.NOTHING if wish is self._failed and now < self._retry_at else wish

    def answered(self, wish: Wish, *, granted: bool | None, asked_at: float, now: float) -> None:
        """What came of a wish: granted, refused (so nothing changed), or None when that is not known.

        What is granted is not known to last while an earlier request for the opposite may still take effect.
        """
        if granted is None:
            self._late[wish] = now + LATE_EFFECT_S
        elif granted and asked_at < self._late[_OPPOSITE[wish]]:
            granted = None
        if granted:
            self._failed = None
            self._protection = Protection.HELD if wish is Wish.PROTECT else Protection.RELEASED
            self._lease_until = asked_at + LEASE_MINUTES * 60 - LEASE_MARGIN_S
            self._renew_at = asked_at + RENEW_EVERY_S
            return
        if granted is None and not (wish is Wish.PROTECT and self._protection is Protection.HELD):
            self._protection = Protection.UNKNOWN  # whereas a renewal leaves the lease at least as it was
        self._retry_s = RETRY_FIRST_S if self._failed is not wish else min(2 * self._retry_s, RETRY_MOST_S)
        self._failed, self._retry_at = wish, now + self._retry_s

    def state(self, snapshot: Snapshot | None, *, active: int, now: float) -> str:
        """The state to report. A worker between two states reports the one that promises less."""
        if self._stopping:
            return DRAINING if active else STOPPED
        command = self.command(now)
        if command.consume:
            if is_fresh(snapshot, now) and snapshot.consuming and snapshot.epoch == command.epoch:
                self._consumed_epoch = command.epoch
            if self._consumed_epoch == command.epoch:
                return CONSUMING
        elif self._order != ORDER_CONSUME:
            drained = self._protection is Protection.RELEASED and self._is_idle(snapshot, now)
            return DRAINED if drained else DRAINING
        return STARTING if self._consumed_epoch is None else DRAINING

    def _wish(self, snapshot: Snapshot | None, now: float) -> Wish:
        self.command(now)  # idleness counts under the present command only
        if self._stopping:
            return Wish.NOTHING  # ECS refuses to protect a task that it stops, and to release it would gain nothing
        if self._order != ORDER_CONSUME:
            if self._protection is Protection.RELEASED:
                return Wish.NOTHING
            if self._is_idle(snapshot, now):
                return Wish.RELEASE
        elif not self._permitted and self._protection is Protection.RELEASED:
            return Wish.NOTHING  # ECS may replace a worker that waits, and others need the protection more
        due = self._protection is not Protection.HELD or now >= self._renew_at
        return Wish.PROTECT if due else Wish.NOTHING

    def _is_idle(self, snapshot: Snapshot | None, now: float) -> bool:
        return (
            is_fresh(snapshot, now)
            and snapshot.idle
            and snapshot.epoch == self._command.epoch
            and not self._command.consume
        )


def is_fresh(snapshot: Snapshot | None, now: float) -> TypeGuard[Snapshot]:
    """Whether there is a snapshot that says something about the present."""
    return snapshot is not None and now - snapshot.at <= SNAPSHOT_FRESH_S
