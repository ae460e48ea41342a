"""The single moves of the model's world: steps of a worker, of ECS or of the autoscaler, and accidents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from fleet.registry import ORDER_CONSUME, ORDER_DRAIN, order_key
from tests.model.scaler import MAXIMUM
from tests.model.seams import Actor, Fault
from tests.model.webserver import OLDER_RELEASE
from tests.model.worker import QUEUE, SLOTS, WORKERS_RELEASE, Process
from tests.model.world import World

MOST_QUEUED = 12
FAULTS = (Fault.FAILS, Fault.LOST, Fault.LATE)
CALLS_THAT_FAIL = 0.2

Move = Callable[["Moves", Process, Random], None]


class Moves:
    """Moves on one world. Each gets a worker, and dice for its other choices."""

    def __init__(self, world: World) -> None:
        self.world = world

    def play(self, names: tuple[str, ...], weights: tuple[int, ...], *, count: int, which: int, dice: Random) -> None:
        """Make `count` moves in random order, most of them on one worker."""
        for name in dice.choices(names, weights, k=count):
            self.make(name, which=which if dice.random() < 0.8 else dice.randrange(2 * MAXIMUM), dice=dice)

    def make(self, name: str, *, which: int, dice: Random) -> None:
        """Make one move and check what must hold after it."""
        alive = self.world.alive
        if alive:
            getattr(self, name)(alive[which % len(alive)], dice)
        else:
            self.tasks_start(None, dice)
        self.world.check()

    # --- time and work

    def time_passes(self, _process: Process, dice: Random) -> None:
        self.world.advance(dice.choice([0.25, 0.25, 0.5, 0.5, 1.0, 2.5]))

    def tasks_arrive(self, _process: Process, dice: Random) -> None:
        queues = self.world.store.queues
        queues[QUEUE] = min(MOST_QUEUED, queues[QUEUE] + dice.randint(1, 4))

    # --- a worker

    def ticks(self, process: Process, _dice: Random) -> None:
        process.tick()

    def agent_ticks(self, process: Process, dice: Random) -> None:
        process.connect()
        with self._endpoint(dice):
            process.agent_tick()

    def agent_gets_no_answer(self, process: Process, _dice: Random) -> None:
        ecs = self.world.ecs
        before, ecs.endpoint = ecs.endpoint, Fault.LATE
        process.agent_tick()
        ecs.endpoint = before

    def polls(self, process: Process, _dice: Random) -> None:
        process.send_poll()

    def takes_a_message(self, process: Process, _dice: Random) -> None:
        process.send_poll()
        process.pop()

    def reads(self, process: Process, dice: Random) -> None:
        process.read_poll(requeue=dice.random() < 0.5)

    def works(self, process: Process, dice: Random) -> None:
        if process.messages:
            process.move(dice.choice(process.messages).stage)

    def begins_a_tick(self, process: Process, _dice: Random) -> None:
        process.begin_tick()
        self.tick_goes_on(process, _dice)

    def tick_goes_on(self, process: Process, _dice: Random) -> None:
        if process.tick_actor is not None and not self._resume(process.tick_actor, Fault.NONE):
            process.tick_actor = None

    def begins_an_agent_tick(self, process: Process, _dice: Random) -> None:
        process.begin_agent_tick()

    def agent_tick_goes_on(self, process: Process, dice: Random) -> None:
        if process.agent_actor is not None and not self._resume(process.agent_actor, self._fault(dice)):
            process.agent_actor = None

    def is_ordered(self, process: Process, dice: Random) -> None:
        """Give an order, as another scaler or an operator would."""
        self.world.store.set(order_key(process.identity.member_id), dice.choice([ORDER_CONSUME, ORDER_DRAIN]))

    def is_ordered_and_obeys(self, process: Process, dice: Random) -> None:
        self.is_ordered(process, dice)
        process.agent_tick()

    # --- the autoscaler

    def scaler_ticks(self, _process: Process, _dice: Random) -> None:
        self.world.scaler.tick()

    def begins_a_scaler_tick(self, _process: Process, _dice: Random) -> None:
        self.world.scaler.begin_tick()

    def scaler_tick_goes_on(self, _process: Process, dice: Random) -> None:
        if self.world.scaler.ticks:
            actor = dice.choice(self.world.scaler.ticks)
            if not self._resume(actor, self._fault(dice)):
                self.world.scaler.ticks.remove(actor)

    # --- ECS

    def ecs_reconciles(self, _process: Process, dice: Random) -> None:
        self.world.reconcile(dice.randrange(2**16))

    def tasks_start(self, _process: Process | None, _dice: Random) -> None:
        self.world.boot(at_most=1)

    def stops_are_delivered(self, _process: Process, _dice: Random) -> None:
        self.world.deliver_stops()

    def a_late_request_arrives(self, _process: Process, _dice: Random) -> None:
        self.world.ecs.run_late_requests(due_only=False)

    # --- accidents

    def crashes(self, process: Process, _dice: Random) -> None:
        self.world.crash(process)

    def spot_takes_it(self, process: Process, _dice: Random) -> None:
        process.forced = True
        self.world.ecs.cluster.stop(process.task_id, reason="Spot", now=self.world.ecs.now)

    def loses_its_broker(self, process: Process, _dice: Random) -> None:
        process.disconnect()

    def redis_goes_or_comes(self, _process: Process, dice: Random) -> None:
        store = self.world.store
        store.up, store.skew = not store.up, dice.choice([0.0, -2.0, 2.0])
        for process in self.world.alive:
            process.disconnect()
            process.connect()

    def redis_restarts_empty(self, _process: Process, _dice: Random) -> None:
        self.world.restart_redis()

    def its_record_is_malformed(self, process: Process, _dice: Random) -> None:
        self.world.corrupt(process.identity.member_id)

    def a_stranger_is_malformed(self, _process: Process, _dice: Random) -> None:
        self.world.corrupt("stranger/worker")

    def the_memory_is_garbage(self, _process: Process, _dice: Random) -> None:
        self.world.forget_memory()

    def the_endpoint_changes(self, _process: Process, dice: Random) -> None:
        self.world.ecs.endpoint = dice.choice([Fault.NONE, *FAULTS])

    def ecs_is_throttled_or_not(self, _process: Process, _dice: Random) -> None:
        self.world.ecs.throttled = not self.world.ecs.throttled

    def the_webserver_changes(self, _process: Process, dice: Random) -> None:
        self.world.webserver.runs(dice.choice([OLDER_RELEASE, WORKERS_RELEASE, WORKERS_RELEASE]))

    def an_operator_sets_desired(self, _process: Process, dice: Random) -> None:
        ecs, self.world.operator_at = self.world.ecs, self.world.time
        request = {"service": ecs.service.name, "desiredCount": dice.randint(0, MAXIMUM + 2)}
        ecs.cluster.update_service(request, now=ecs.now)

    def its_memory_becomes_short_or_not(self, process: Process, dice: Random) -> None:
        process.fitting = dice.randint(1, SLOTS)

    # --- helpers

    def _fault(self, dice: Random) -> Fault:
        return dice.choice(FAULTS) if dice.random() < CALLS_THAT_FAIL else Fault.NONE

    @contextmanager
    def _endpoint(self, dice: Random) -> Iterator[None]:
        """Let a call fail now and then even while the endpoint is well."""
        ecs = self.world.ecs
        before = ecs.endpoint
        if before is Fault.NONE and dice.random() < CALLS_THAT_FAIL / 2:
            ecs.endpoint = dice.choice(FAULTS)
        yield
        ecs.endpoint = before

    def _resume(self, actor: Actor, fault: Fault) -> bool:
        """Resume the actor; return whether it can be resumed again."""
        if fault is Fault.LATE:
            fault = self.world.timeout_at(actor.place)
        actor.resume(fault)
        return not actor.done


WORK = {"time_passes": 6, "ticks": 6, "agent_ticks": 5, "takes_a_message": 4, "polls": 2, "reads": 4, "works": 6}
THREADS = {"begins_an_agent_tick": 3, "agent_tick_goes_on": 8, "begins_a_tick": 3, "tick_goes_on": 4}
SCALER = {"scaler_ticks": 3, "begins_a_scaler_tick": 1, "scaler_tick_goes_on": 6}
ECS = {"ecs_reconciles": 2, "tasks_start": 2, "stops_are_delivered": 1, "a_late_request_arrives": 1}
ACCIDENTS = dict.fromkeys(
    (
        "crashes",
        "spot_takes_it",
        "loses_its_broker",
        "redis_goes_or_comes",
        "redis_restarts_empty",
        "its_record_is_malformed",
        "a_stranger_is_malformed",
        "the_memory_is_garbage",
        "the_endpoint_changes",
        "ecs_is_throttled_or_not",
        "an_operator_sets_desired",
        "the_webserver_changes",
        "its_memory_becomes_short_or_not",
    ),
    1,
)
# The moves of each theme with their weights. Rare sequences need few other moves between their own.
THEMES: dict[str, dict[str, int]] = {
    "work": WORK | {"is_ordered": 1},
    "threads": WORK | THREADS | {"is_ordered": 2, "tasks_arrive": 1},
    "flips": {"is_ordered_and_obeys": 8, "begins_a_tick": 8, "tick_goes_on": 5, "ticks": 4, "takes_a_message": 6}
    | {"time_passes": 4, "reads": 3, "works": 5},
    "drain": {
        "is_ordered": 1,
        "time_passes": 4,
        "ticks": 8,
        "agent_ticks": 8,
        "reads": 4,
        "works": 5,
        "takes_a_message": 3,
    },
    "scaling": SCALER
    | ECS
    | {"scaler_ticks": 6, "time_passes": 2, "ticks": 4, "agent_ticks": 4, "ecs_reconciles": 1, "stops_are_delivered": 1}
    | {"tasks_arrive": 2, "is_ordered": 1, "the_memory_is_garbage": 1},
    # An empty memory does not know what worked before.
    "rollout": SCALER | ECS | {"time_passes": 2, "ticks": 4, "agent_ticks": 4, "tasks_arrive": 2},
    "lost answers": {
        "agent_ticks": 4,
        "agent_gets_no_answer": 2,
        "begins_an_agent_tick": 1,
        "agent_tick_goes_on": 4,
        "is_ordered": 2,
    }
    | {"time_passes": 5, "ticks": 8, "takes_a_message": 4, "a_late_request_arrives": 2, "reads": 3, "works": 9},
    "accidents": WORK | THREADS | SCALER | ECS | ACCIDENTS | {"tasks_arrive": 2},
}
EVERY_MOVE = tuple(WORK | THREADS | SCALER | ECS | {"is_ordered": 1, "is_ordered_and_obeys": 1, "tasks_arrive": 1})
EVERY_ACCIDENT = tuple(ACCIDENTS)
