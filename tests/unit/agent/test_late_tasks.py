"""Why a task waited: which decisions of the autoscaler come into the trace of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis

from agent.web.late_tasks import MOST_RUNS, Entry, LateTasks, Wait, changes

BEGAN = 1_800_000_000.0


def entry(t: float, was: int | None, desired: int | None) -> dict[str, Any]:
    return {"t": BEGAN + t, "was": was, "desired": desired, "reason": "r", "queued": 1, "active": None}


@dataclass
class Run:
    context_carrier: Any = field(default_factory=lambda: {"traceparent": "00-a-b-01"})


@dataclass(kw_only=True)
class Row:
    queued: float
    started: float
    queue: str = "default"
    dag_run: Run | None = field(default_factory=Run)

    @property
    def queued_dttm(self) -> datetime:
        return datetime.fromtimestamp(BEGAN + self.queued, UTC)

    @property
    def start_date(self) -> datetime:
        return datetime.fromtimestamp(BEGAN + self.started, UTC)


class World:
    """Decisions of the pool `worker`, and the spans that were made."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries, self.asked, self.is_away = entries, 0, False
        self.emitted: list[tuple[str, float]] = []
        self.late = LateTasks({"default": "worker"}, self.read, self.emit)

    def read(self, pool: str) -> Sequence[Entry]:
        assert pool == "worker"
        self.asked += 1
        if self.is_away:
            raise redis.ConnectionError
        return self.entries

    def emit(self, wait: Wait, entry: Entry) -> None:
        self.emitted.append((wait.carrier["traceparent"], entry["t"] - BEGAN))


def test_only_changes_while_it_waited_count() -> None:
    entries = [
        entry(40, 4, 2),
        entry(20, 1, 4),
        entry(15, 1, 1),
        entry(12, None, 4),
        entry(11, 4, None),
        entry(5, 0, 1),
    ]
    found = changes(entries, since=BEGAN + 10, until=BEGAN + 30)
    assert [each["t"] - BEGAN for each in found] == [20]


def test_tasks_that_waited_together_show_a_decision_once_and_redis_is_asked_once() -> None:
    world = World(entry(20, 1, 4))
    for _ in range(100):
        world.late.note(Row(queued=10, started=30))
    world.late.tick()
    world.late.note(Row(queued=10, started=31))
    world.late.tick()
    assert world.emitted == [("00-a-b-01", 20.0)]
    assert world.asked == 2


def test_a_task_that_started_soon_one_of_no_pool_and_one_without_a_trace_are_left_out() -> None:
    world = World(entry(11, 1, 4))
    world.late.note(Row(queued=10, started=14))
    world.late.note(Row(queued=10, started=30, queue="other"))
    world.late.note(Row(queued=10, started=30, dag_run=None))
    world.late.note(Row(queued=10, started=30, dag_run=Run(context_carrier=None)))
    world.late.tick()
    assert (world.emitted, world.asked) == ([], 0)


def test_without_redis_the_trace_lacks_them_and_nothing_else_happens() -> None:
    world = World(entry(20, 1, 4))
    world.is_away = True
    world.late.note(Row(queued=10, started=30))
    world.late.tick()
    world.is_away = False
    world.late.tick()
    assert world.emitted == []


def test_it_remembers_a_bounded_number_of_runs() -> None:
    world = World(entry(20, 1, 4))
    for number in range(2 * MOST_RUNS):
        run = Run(context_carrier={"traceparent": f"00-{number}-b-01"})
        world.late.note(Row(queued=10, started=30, dag_run=run))
    world.late.tick()
    assert len(world.emitted) == 2 * MOST_RUNS
    assert len(world.late._shown) == MOST_RUNS
