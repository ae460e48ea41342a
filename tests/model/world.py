"""The model's world: one pool's queue, its workers, ECS and the autoscaler on one clock, and what must always hold."""

from __future__ import annotations

from random import Random

from fleet.member import CONSUMING, Member
from fleet.registry import MEMBERS_KEY, member_key, scaler_key
from local.aws.ecs.tasks import STARTING, Task
from tests.model.ecs import Ecs
from tests.model.messages import HIDDEN_S, Stage
from tests.model.production import LEASE_MINUTES
from tests.model.redis_store import Store
from tests.model.scaler import MAXIMUM, POLL_S, Scaler, Violation
from tests.model.seams import Fault, Seams
from tests.model.webserver import Webserver
from tests.model.worker import POOL, QUEUE, SLOTS, WORKERS_RELEASE, Process

START = 1_000_000.0
AGENT_TICK_TIMEOUT_S = 8.0  # three calls of 2 or 3 s each
TICK_TIMEOUT_S = 5.0
# A worker may be taken for capacity for so long that takes no messages: agent.conduct.PROOF_S and twice LAG_S.
BELIEVED_S = 55.0
LAG_S = 20.0  # no thread of a worker sleeps longer than this; agent.conduct.LEASE_MARGIN_S allows for it


class World:
    """Everything there is. Every change is followed by a call of `check`."""

    def __init__(self, *, minimum: int) -> None:
        self.time = START
        self.minimum = minimum
        self.seams = Seams()
        self.store = Store(self.now)
        self.store.queues[QUEUE] = 0
        self.ecs = Ecs(seams=self.seams, now=self.now, desired=minimum)
        self.processes: dict[str, Process] = {}
        self.webserver = Webserver(self.store, self.now)
        self.operator_at = float("-inf")  # when an operator last changed the desired count
        self.done = 0
        self.scaler = Scaler(
            seams=self.seams,
            store=self.store,
            ecs=self.ecs,
            processes=self.processes,
            now=self.now,
            minimum=minimum,
        )

    def now(self) -> float:
        return self.time

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes.values() if not process.ended]

    def task(self, process: Process) -> Task:
        return self.ecs.cluster.tasks[process.task_id]

    # --- time

    def advance(self, seconds: float) -> None:
        """Time passes; what cannot take any longer happens."""
        self.time += seconds
        self.webserver.report()
        self.ecs.run_late_requests()
        for process in self.alive:
            while any(m.stage is Stage.HIDDEN and self.time - m.read_at >= HIDDEN_S for m in process.messages):
                self._end_tick(process)
                process.move(Stage.HIDDEN)
            self._time_out(process)
            self._notice_lease(process)
            if self.time - process.tick_at > LAG_S:
                process.tick()
            if self.time - process.agent_ticked_at > LAG_S:
                process.agent_tick()
        self.scaler.time_out()

    def _time_out(self, process: Process) -> None:
        tick, agent_tick = process.tick_actor, process.agent_actor
        if tick is not None and self.time - tick.since > TICK_TIMEOUT_S:
            self._end_tick(process)
        if agent_tick is not None and self.time - agent_tick.since > AGENT_TICK_TIMEOUT_S:
            while not agent_tick.done:
                agent_tick.resume(self.timeout_at(agent_tick.place))
            process.agent_actor = None

    @staticmethod
    def timeout_at(place: str) -> Fault:
        """Let a call whose caller timed out take effect, or not."""
        return {"protection request": Fault.LATE, "protection answer": Fault.LOST}.get(place, Fault.FAILS)

    def _end_tick(self, process: Process) -> None:
        if process.tick_actor is not None:
            process.tick_actor.finish()
            process.tick_actor = None

    def _notice_lease(self, process: Process) -> None:
        """Check that a lease ran out only because something kept it from being renewed: the last resort's case."""
        until = self.task(process).protected_until
        if until is None or until > self.ecs.now or process.lease_lost_at is not None or process.forced:
            return
        process.lease_lost_at = until.timestamp()
        trouble = max(self.ecs.trouble.get(process.task_id, 0.0), self.operator_at)
        if process.messages and trouble < process.lease_lost_at - LEASE_MINUTES * 60:
            raise Violation(f"the lease of {process.task_id} ran out and nothing was in the way of its renewal")

    # --- what must hold

    def check(self) -> None:
        now = self.ecs.now
        for process in self.alive:
            self._check_connection(process)
            if any(message.stage is Stage.POPPED for message in process.messages):
                self.webserver.check(process)
            if process.forced:
                continue
            if self.task(process).is_protected(now):
                process.lease_lost_at = None
                continue
            for message in process.messages:
                if process.lease_lost_at is None:
                    raise Violation(f"ECS may stop {process.task_id}, which has a message {message.stage.value}")
                if message.taken_at >= process.lease_lost_at:
                    raise Violation(f"{process.task_id} took a message without protection")

    def _check_connection(self, process: Process) -> None:
        if process.queued_twice:
            raise Violation(f"messages of tasks that run on {process.task_id} are queued again")
        if process.stopping:
            return
        if process.dead_since is None:
            poll = process.poll if process.hangs_since is not None else None
            if poll is not None and self.time - poll.sent_at > BELIEVED_S:
                raise Violation(f"{process.task_id} keeps a connection that leads nowhere")
            return
        if self.time - process.dead_since <= BELIEVED_S:
            return
        record = self.store.get(member_key(process.identity.member_id))
        if record is None or not self.store.up or process.agent_actor is not None:
            return
        member = Member.from_json(record) if record != b"{" else None
        if member is None or self.time - process.agent._heard_at > 2 * LAG_S:
            return
        if member.state == CONSUMING and not member.trouble and member.active < member.slots:
            raise Violation(f"{process.task_id} takes no messages, and counts as capacity")

    # --- ECS

    def reconcile(self, seed: int) -> None:
        for task_id in self.ecs.reconcile(Random(seed)):
            process = self.processes.get(task_id)
            if process is None or process.ended:
                continue
            if process.messages and process.lease_lost_at is None and not process.forced:
                raise Violation(f"ECS stops {task_id}, which has work")
            process.forced = bool(process.messages)

    def boot(self, *, at_most: int = MAXIMUM) -> None:
        """Tasks that are starting run."""
        for task in [task for task in self.ecs.tasks if task.last_status in STARTING][:at_most]:
            if not task.wanted:
                self.ecs.report(task.id, "STOPPED")
                continue
            self.ecs.report(task.id, "RUNNING")
            if task.definition in self.ecs.broken:
                self.ecs.report(task.id, "STOPPED")
                continue
            self.processes[task.id] = Process(task.id, seams=self.seams, store=self.store, ecs=self.ecs, now=self.now)

    def deliver_stops(self) -> None:
        """SIGTERM reaches those that ECS stops; those that have nothing left exit; ECS notices who is gone."""
        for process in self.alive:
            if process.gives_up or not self.task(process).wanted:
                process.terminate()
            process.leave()
        self.notice_ends()

    def notice_ends(self) -> None:
        for process in [process for process in self.processes.values() if process.ended]:
            self.ecs.report(process.task_id, "STOPPED")
            self.done += process.done
            del self.processes[process.task_id]

    def retire(self) -> None:
        """Let AWS stop the tasks that it announced, whatever protection they hold. By now they must have no work."""
        before = self.ecs.retire_before
        for process in self.alive:
            if before is None or process.born >= before or self.ecs.is_rolling_out:
                continue
            if process.messages and not process.forced:
                raise Violation(f"AWS stops {process.task_id}, which has work")
            self.ecs.retire(process.task_id)
            process.forced = True
        self.check()

    # --- accidents

    def crash(self, process: Process) -> None:
        """SIGKILL. ECS notices later, the registry later still."""
        process.end()

    def restart_redis(self) -> None:
        self.store.clear()
        for process in self.alive:
            process.disconnect()

    def change_role(self) -> None:
        """Redis becomes a replica, which refuses writes and ends what blocks; or the primary again."""
        self.store.is_replica = not self.store.is_replica
        for process in self.alive:
            if process.hangs_since is None:
                process.disconnect()
            process.connect()

    def corrupt(self, member_id: str) -> None:
        self.store.set(member_key(member_id), "{", ex=60)
        self.store.zadd(MEMBERS_KEY, {member_id: self.time})

    def forget_memory(self) -> None:
        self.store.set(scaler_key(POOL), "[]")

    # --- order

    def heal(self) -> None:
        """End the accidents; everyone who waited goes on."""
        self.store.up, self.store.skew, self.ecs.throttled, self.ecs.endpoint = True, 0.0, False, Fault.NONE
        self.store.is_replica = False
        self.webserver.runs(WORKERS_RELEASE)
        for process in self.alive:
            process.slow_replies = process.slow_acks = False
            process.fitting = SLOTS
            self._end_tick(process)
            if process.agent_actor is not None:
                process.agent_actor.finish()
                process.agent_actor = None
        self.scaler.finish()
        self.ecs.run_late_requests(due_only=False)
        self.check()

    def orderly(self, seconds: float, *, work: bool) -> None:
        """Run for a while in which every part does its work in time. Tasks end only if `work`."""
        self.advance(seconds)
        for process in self.alive:
            process.connect()
            process.read_poll(requeue=True)
            for _ in range(SLOTS):
                process.move(Stage.HIDDEN)
                process.move(Stage.RESERVED)
                if work or process.forced or process.stopping:
                    process.move(Stage.ACTIVE)
                    process.move(Stage.UNACKED)
            process.tick()
            process.agent_tick()
            process.send_poll()
            process.pop()
            self.check()
        self.reconcile(0)
        self.boot()
        self.deliver_stops()
        if self.time - self.scaler.ticked_at >= POLL_S:
            self.scaler.tick()
        self.check()

    def close(self) -> None:
        for process in self.alive:
            process.end()
        self.scaler.abandon()
