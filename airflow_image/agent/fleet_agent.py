"""A worker's thread for calls that can block: orders and reports through Redis, protection through the ECS agent."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

import redis

from agent import heartbeat
from agent.broker import Outage
from agent.conduct import LEASE_MINUTES, Command, Conduct, Request, Snapshot, is_fresh
from agent.gates import Permission
from agent.identity import Identity
from agent.protection import TaskProtection
from agent.versions import CodeWatch
from fleet.member import WEBSERVER, Member
from fleet.registry import Registry

log = logging.getLogger(__name__)

TICK_S = 1.0  # an order is read within this, and the event loop reacts within 0.25 s
REPORT_EVERY_S = 5.0  # while nothing changes
HEARD_FOR_S = 15.0
LOG_MEMORY_EVERY_S = 60.0  # at most
FAREWELL_S = 3.0
# A tick takes some seconds at most, with Redis and ECS both away.
HANGS_AFTER_S = 60.0
# A permission stands for this long: only a rollback, which takes a minute, makes a webserver older than its workers.
PERMITTED_FOR_S = 10.0


class FleetAgent:
    """Mediates between Redis, the ECS agent and the event loop.

    The event loop sets `snapshot` and reads `command`, each replaced whole. `count_active` counts the worker's tasks
    from any thread: the event loop's snapshots end when Celery stops. `count_left_behind`: see fleet.member.Member.
    `count_slots` returns how many of the declared slots the worker uses at present, with so many tasks active.
    `gate_s`: see agent.gates.limit_s. `chores`: what else is to be done at each tick; each may raise redis.RedisError.
    `end` stops the process.
    """

    def __init__(
        self,
        *,
        identify: Callable[[], Identity],
        registry: Registry,
        protection: TaskProtection,
        code: CodeWatch,
        count_active: Callable[[], int],
        count_left_behind: Callable[[], int],
        count_slots: Callable[[int, int], int],
        gate_s: float,
        chores: Sequence[Callable[[], None]],
        end: Callable[[], None],
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.command = Command(consume=False, epoch=0)
        self._identify, self._registry, self._protection, self._code = identify, registry, protection, code
        self._count_active, self._count_left_behind, self._gate_s = count_active, count_left_behind, gate_s
        self._count_slots, self._chores, self._end = count_slots, chores, end
        self._conduct = Conduct()
        self._permission: Permission | None = None
        self._ask_again_at = 0.0
        self._stopping = False
        self._ended = False
        self._kick = threading.Event()
        self._thread: threading.Thread | None = None
        self._born = self._ticked_at = time.monotonic()
        self._started_at: float | None = None  # by Redis's clock, so known after its first answer
        self._reported: Member | None = None
        self._answer: dict[str, str] | None = None
        self._report_at = 0.0
        self._heard_at = float("-inf")  # when the broker last took a report
        self._heard_since: float | None = None
        self._state = self._trouble = ""
        self._is_short_of_memory, self._log_memory_at = False, 0.0
        self._broker = Outage("the broker is away", log)
        self._reports = Outage("the broker does not take this worker's reports", log)
        self._ecs = Outage("scale-in protection is not granted", log)

    def start(self) -> None:
        """Start the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
            self._thread.start()

    def command_now(self) -> Command:
        """Return the command for the event loop: not to consume while the agent's thread hangs.

        A worker whose agent hangs neither drains nor renews its protection. It finishes its tasks. Then its health
        check fails, and ECS replaces it.
        """
        command = self.command
        hangs = time.monotonic() - self._ticked_at > HANGS_AFTER_S
        return Command(consume=False, epoch=command.epoch) if hangs and command.consume else command

    def answer(self) -> dict[str, str] | None:
        """Return the worker's code as it was last reported, for a direct request; None before the first report."""
        return self._answer

    def kick(self) -> None:
        """Start the next tick at once, because something changed. Not for signal handlers: they could deadlock here."""
        self._kick.set()

    def shut_down(self) -> None:
        """Note that the worker is being stopped and never consumes again. Safe in a signal handler."""
        self._stopping = True

    def end(self) -> None:
        """Remove the member from the registry within a few seconds, because the worker is about to exit."""
        self._ended = True
        self._kick.set()
        if self._thread is not None:
            self._thread.join(FAREWELL_S)

    def tick(self, identity: Identity) -> None:
        """Run one tick: read the worker's order and permission, advance the state machine, report."""
        self._ticked_at = time.monotonic()
        self._read_order(identity)
        if self._stopping:
            self._conduct.shut_down()
        self.command = self._conduct.command(time.monotonic())
        self._ask_ecs()
        self.command = self._conduct.command(time.monotonic())
        self._report(identity)
        self._do_chores()

    def _run(self) -> None:
        identity = self._identify()
        while not self._ended:
            started = time.monotonic()
            try:
                self.tick(identity)
                heartbeat.beat(os.environ, heartbeat.AGENT)
            except Exception:
                # Tasks depend on this thread: without it their protection would run out. So it survives its own bugs.
                log.exception("fleet: a tick of the agent failed")
            self._kick.wait(max(0.0, started + TICK_S - time.monotonic()))
            self._kick.clear()
        try:
            self._registry.forget(identity.member_id)
        except redis.RedisError as error:
            self._broker.begin(repr(error))

    def _read_order(self, identity: Identity) -> None:
        try:
            self._conduct.obey(self._registry.order(identity.member_id))
            self._ask_permission(identity)
        except redis.RedisError as error:
            self._broker.begin(repr(error))  # the last order and permission stand
        else:
            self._broker.end()

    def _ask_permission(self, identity: Identity) -> None:
        now = time.monotonic()
        if self._permission is None:
            self._permission = Permission(identity.airflow_version, limit_s=self._gate_s)
        if now < self._ask_again_at:
            return
        before = self._permission.why
        self._permission.check(self._registry.members_of(WEBSERVER).members, now=now)
        self._conduct.permit(self._permission.is_given)
        if self._permission.is_given:
            self._ask_again_at = now + PERMITTED_FOR_S
        if self._permission.why != before:
            log.warning("fleet: %s", self._permission.why or "takes tasks: the webserver's Airflow is new enough")

    def _ask_ecs(self) -> None:
        asked_at = time.monotonic()
        request = self._conduct.next_request(self.snapshot, asked_at)
        if request is Request.NOTHING:
            return
        answer = self._protection.protect(LEASE_MINUTES) if request is Request.PROTECT else self._protection.release()
        self._conduct.answered(request, granted=answer.granted, asked_at=asked_at, now=time.monotonic())
        if answer.granted:
            self._ecs.end()
        else:
            self._ecs.begin(answer.reason)

    def _report(self, identity: Identity) -> None:
        now = time.monotonic()
        active = self._count_active()
        snapshot = self.snapshot
        if is_fresh(snapshot, now):
            active = max(active, snapshot.active)
        state = self._conduct.state(snapshot, active=active, now=now)
        if state != self._state:
            log.info("fleet: %s", state)
            self._state = state
        trouble = self._conduct.trouble(snapshot, now)
        if bool(trouble) != bool(self._trouble):
            log.warning("fleet: %s", f"takes no messages: {trouble}" if trouble else "takes messages again")
        self._trouble = trouble
        slots = self._count_slots(identity.slots, active)
        self._log_memory(slots, declared=identity.slots, now=now)
        dags_hash = self._code.dags_hash()
        self._answer = identity.answer(dags_hash)
        try:
            if self._started_at is None:
                self._started_at = self._registry.now() - (now - self._born)
            member = identity.member(
                dags_hash=dags_hash,
                state=state,
                active=active,
                protected=self._conduct.protected,
                started_at=self._started_at,
                trouble=trouble,
                left_behind=self._count_left_behind(),
                slots=slots,
            )
            if member != self._reported or now >= self._report_at:
                self._registry.report(member)
                self._reported, self._report_at, self._heard_at = member, now + REPORT_EVERY_S, now
                self._heard_since = now if self._heard_since is None else self._heard_since
                self._reports.end()
        except redis.RedisError as error:
            self._reported = None  # report again as soon as the broker takes it
            self._reports.begin(repr(error))
        if now - self._heard_at > HEARD_FOR_S:
            self._heard_since = None
        if self._conduct.is_beyond_help(active=active, heard_since=self._heard_since, now=now):
            log.critical("fleet: this worker has no task and can take none; it ends, and ECS starts another")
            self._stopping = True
            self._end()

    def _log_memory(self, slots: int, *, declared: int, now: float) -> None:
        """Log when memory begins or ceases to limit the worker: it may do so with every task."""
        is_short = slots < declared
        if is_short == self._is_short_of_memory or now < self._log_memory_at:
            return
        log.warning("fleet: memory: takes %s", f"{slots} of {declared} slots" if is_short else "all slots again")
        self._is_short_of_memory, self._log_memory_at = is_short, now + LOG_MEMORY_EVERY_S

    def _do_chores(self) -> None:
        for chore in self._chores:
            try:
                chore()
            except redis.RedisError as error:
                log.debug("fleet: the broker refuses a chore: %s", type(error).__name__)
