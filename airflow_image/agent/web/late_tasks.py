"""Shows in the trace of a DAG run why its tasks waited: what the autoscaler decided meanwhile about their pool.

A task's span begins when the task is queued. Each change of the number of workers from then until its start becomes a
span beside it, with the autoscaler's own reason.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from agent.broker import connect
from agent.page.entries import read_decisions
from fleet.pools import read_pools
from fleet.registry import decisions_key

log = logging.getLogger(__name__)

LEAST_WAIT_S = 5.0
EVERY_S = 5.0
MOST_WAITS, MOST_RUNS = 2000, 500
DECISIONS_READ = 500  # all that are kept of a pool
NS = 1_000_000_000

Entry = Mapping[str, Any]  # of a decision, see agent.page.entries


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A task waited from `since` until `until`, seconds since the epoch. `carrier`: the context of its run's trace."""

    carrier: Mapping[str, str]
    pool: str
    since: float
    until: float


def changes(entries: Sequence[Entry], *, since: float, until: float) -> Iterator[Entry]:
    """Yield each decision in this time that changed the number of workers."""
    for entry in entries:
        desired, was = entry["desired"], entry["was"]
        if since <= entry["t"] <= until and None not in (desired, was) and desired != was:
            yield entry


class LateTasks:
    """Collects waits, and adds spans for them from a thread of its own.

    `read`: returns a pool's decisions, latest first; raises redis.RedisError. `emit`: makes a span.
    """

    def __init__(
        self,
        pool_of_queue: Mapping[str, str],
        read: Callable[[str], Sequence[Entry]],
        emit: Callable[[Wait, Entry], None],
    ) -> None:
        self._pool_of_queue, self._read, self._emit = pool_of_queue, read, emit
        self._waits: deque[Wait] = deque(maxlen=MOST_WAITS)
        # Decisions that a run's trace has, by the run's context: of many tasks that waited together, one shows them.
        self._shown: OrderedDict[str, set[tuple[str, float]]] = OrderedDict()

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._run, name="late tasks", daemon=True).start()

    def note(self, ti: Any) -> None:
        """Note a task's row whose run is traced, if the task waited for long."""
        pool, run = self._pool_of_queue.get(ti.queue), ti.dag_run
        if pool is None or run is None or ti.queued_dttm is None or ti.start_date is None:
            return
        since, until = ti.queued_dttm.timestamp(), ti.start_date.timestamp()
        if until - since >= LEAST_WAIT_S and isinstance(run.context_carrier, dict):
            self._waits.append(Wait(carrier=run.context_carrier, pool=pool, since=since, until=until))

    def tick(self) -> None:
        """Add the spans of the waits so far. If Redis does not answer, they are left out."""
        waits = [self._waits.popleft() for _ in range(len(self._waits))]
        decided: dict[str, Sequence[Entry]] = {}
        for wait in waits:
            if wait.pool not in decided:
                try:
                    decided[wait.pool] = self._read(wait.pool)
                except redis.RedisError as error:
                    log.warning("traces lack the autoscaler's decisions: %s", type(error).__name__)
                    decided[wait.pool] = ()
            shown = self._shown.setdefault(str(wait.carrier.get("traceparent")), set())
            for entry in changes(decided[wait.pool], since=wait.since, until=wait.until):
                if (wait.pool, entry["t"]) not in shown:
                    shown.add((wait.pool, entry["t"]))
                    self._emit(wait, entry)
        while len(self._shown) > MOST_RUNS:
            self._shown.popitem(last=False)

    def _run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            if self._waits:
                self.tick()


def late_tasks(*, pools: str, reader_url: str) -> LateTasks:
    """Return it with the registry and OpenTelemetry. `pools`: as the task definition declares them."""
    pool_of_queue = {queue: pool.name for pool in read_pools(pools) for queue in pool.queues}
    client: Any = connect(reader_url)

    def read(pool: str) -> Sequence[Entry]:
        return read_decisions(client.lrange(decisions_key(pool), 0, DECISIONS_READ - 1)).entries

    return LateTasks(pool_of_queue, read, emit_span)


def emit_span(wait: Wait, entry: Entry) -> None:
    """Make the span of a decision, below the run's. It has no length: the decision is a moment."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    at = int(entry["t"] * NS)
    span = trace.get_tracer(__name__).start_span(
        f"autoscaler.{wait.pool}: {entry['was']} -> {entry['desired']} workers",
        context=TraceContextTextMapPropagator().extract(dict(wait.carrier)),
        start_time=at,
        attributes={
            "fleet.pool": wait.pool,
            "fleet.reason": entry["reason"],
            "fleet.desired": entry["desired"],
            **{f"fleet.{name}": entry[name] for name in ("queued", "active") if entry[name] is not None},
        },
    )
    span.end(end_time=at)
