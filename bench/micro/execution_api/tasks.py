"""Simulated tasks: the requests that their supervisors send to the Execution API, without the tasks themselves.

A load is prepared outside the measurement and then goes on for a while; both in one event loop.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from bench.micro.execution_api.sizes import Interval

ANSWERS_WITHIN_S = 60.0
STARTS_AT_ONCE = 8
WHO = {"hostname": "bench", "pid": 1}
START, FIELDS, BEAT, END = "start", "rendered fields", "heartbeat", "end"


@dataclass(frozen=True, kw_only=True)
class Api:
    """`url` of the Execution API, and the `version` of it that supervisors ask for."""

    url: str
    version: str

    def client(self, connections: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        headers = {"airflow-api-version": self.version}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=ANSWERS_WITHIN_S, limits=limits)


@dataclass(frozen=True)
class Ticket:
    """A queued task instance and the token that its executor gave to the worker."""

    id: str
    token: str


@dataclass
class Tally:
    """The seconds that requests took, by kind."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def count(self) -> int:
        return sum(map(len, self.seconds.values()))

    @property
    def all_s(self) -> list[float]:
        return [each for times in self.seconds.values() for each in times]


class SimulatedTask:
    """Sends the requests of one task; `tally` may be another one later."""

    def __init__(self, ticket: Ticket, client: httpx.AsyncClient, tally: Tally) -> None:
        self.tally = tally
        self._path = f"task-instances/{ticket.id}"
        self._client, self._token = client, ticket.token

    async def start(self) -> None:
        """Begin to run, and store the rendered fields."""
        now = datetime.now(UTC).isoformat()
        await self._send(START, "PATCH", "run", {**WHO, "unixname": "bench", "state": "running", "start_date": now})
        await self._send(FIELDS, "PUT", "rtif", {"field": "a rendered text"})

    async def beat(self) -> None:
        await self._send(BEAT, "PUT", "heartbeat", WHO)

    async def end(self) -> None:
        now = datetime.now(UTC).isoformat()
        await self._send(END, "PATCH", "state", {"state": "success", "end_date": now})

    async def _send(self, kind: str, method: str, path: str, content: object) -> None:
        """Send a request and note its time. Raises httpx.HTTPError unless it succeeds."""
        headers = {"Authorization": f"Bearer {self._token}"}
        began = time.perf_counter()
        answer = await self._client.request(method, f"{self._path}/{path}", json=content, headers=headers)
        self.tally.seconds[kind].append(time.perf_counter() - began)
        answer.raise_for_status()
        self._token = answer.headers.get("Refreshed-API-Token", self._token)


class Load:
    """Requests of several tasks, each of which uses one connection at most."""

    def __init__(self, api: Api, tickets: Sequence[Ticket], *, tasks: int, for_s: float) -> None:
        self.tally = Tally()
        self._client = api.client(tasks)
        self._waiting = iter(tickets)
        self._number, self._for_s = tasks, for_s
        self._tasks: list[SimulatedTask] = []

    async def prepare(self) -> None:
        """Start the tasks, a few at a time."""
        gate = asyncio.Semaphore(STARTS_AT_ONCE)

        async def start(task: SimulatedTask) -> None:
            async with gate:
                await task.start()

        self._tasks = [SimulatedTask(next(self._waiting), self._client, Tally()) for _ in range(self._number)]
        await asyncio.gather(*map(start, self._tasks))
        for task in self._tasks:
            task.tally = self.tally

    async def go(self) -> None:
        """Send requests until the time is over."""
        until = time.monotonic() + self._for_s
        await asyncio.gather(*(self._go_on(place, until) for place in range(self._number)))

    async def close(self) -> None:
        await self._client.aclose()

    async def _go_on(self, place: int, until: float) -> None:
        raise NotImplementedError


class HeartbeatsOnly(Load):
    """Each task sends its next heartbeat as soon as the last one is answered."""

    async def _go_on(self, place: int, until: float) -> None:
        while time.monotonic() < until:
            await self._tasks[place].beat()


class StartsAndEnds(Load):
    """Each task that ends is followed by another one at once; none sends a heartbeat."""

    async def _go_on(self, place: int, until: float) -> None:
        task = self._tasks[place]
        await task.end()
        for ticket in self._waiting:
            task = SimulatedTask(ticket, self._client, self.tally)
            await task.start()
            await task.end()
            if time.monotonic() >= until:
                return


class RunningTasks(Load):
    """As many tasks run all the time, of all ages; one that ends is followed by another one.

    `interval_s` returns the time until a task's next heartbeat by its age.
    """

    def __init__(
        self, api: Api, tickets: Sequence[Ticket], *, tasks: int, for_s: float, task_s: float, interval_s: Interval
    ) -> None:
        super().__init__(api, tickets, tasks=tasks, for_s=for_s)
        self._task_s, self._interval_s = task_s, interval_s
        self._chance = random.Random(1)

    async def _go_on(self, place: int, until: float) -> None:
        task, now = self._tasks[place], time.monotonic()
        born = now - self._task_s * (place + self._chance.random()) / self._number
        beats_at = now + self._chance.random() * self._interval_s(now - born)
        while True:
            ends_at = born + self._task_s
            at = min(until, ends_at, beats_at)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if at == until:
                return
            if at == ends_at:
                await task.end()
                born = time.monotonic()
                task = SimulatedTask(next(self._waiting), self._client, self.tally)
                await task.start()
            else:
                await task.beat()
            # The supervisor counts from the last attempt.
            beats_at = at + self._interval_s(at - born) if at != ends_at else born + self._interval_s(0.0)
