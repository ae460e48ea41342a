"""Measures the webserver under simulated tasks: as it was before, and with its processes and heartbeats of today."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from agent.runner.pace import interval_s
from bench.micro.execution_api.meter import SAMPLE_EVERY_S, Usage, connections_of, metered
from bench.micro.execution_api.sizes import Interval
from bench.micro.execution_api.stage import Stage, prepared_stage
from bench.micro.execution_api.tasks import Api, HeartbeatsOnly, Load, RunningTasks, StartsAndEnds, Tally
from bench.micro.machine import family
from bench.micro.page.webserver import Webserver
from roles.parts import HEARTBEAT_LIMIT_S

TASKS = 100
TASK_S = 60.0  # of the tasks that run
ROUNDS, ROUND_S = 3, 4.0
RUNNING_S = 15.0
MOST_PROCESSES = 4
SETTLES_S = 15.0  # the other roles have started by then


def every_second(_age_s: float) -> float:
    """Return the interval of the heartbeats before they became rarer."""
    return 1.0


def of_today(age_s: float) -> float:
    """Return the interval of the runner's heartbeats."""
    return interval_s(age_s, timeout_s=HEARTBEAT_LIMIT_S)


@dataclass(frozen=True, kw_only=True)
class FullSpeed:
    """Requests as fast as they are answered; the best of several rounds, because other work can only slow them."""

    per_s: float
    cpu_ms: float
    database_cpu_ms: float
    shares: Sequence[float]  # of the processor time, by process
    memory_mib: Sequence[float]
    connections: int

    @property
    def per_core(self) -> float:
        return 1000 / self.cpu_ms


@dataclass(frozen=True, kw_only=True)
class Running:
    """TASKS tasks that run: what the webserver is asked, how long it takes, and the processors that it uses."""

    per_s: float
    p50_ms: float
    p95_ms: float
    slowest_ms: float
    cores: float


@dataclass(frozen=True, kw_only=True)
class Served:
    """The figures of a webserver with so many processes."""

    processes: int
    beats: FullSpeed
    running: Running


@dataclass(frozen=True, kw_only=True)
class Figures:
    """`cycle_ms`: the processor time of a task's start and end. `connections` of the other roles, by role.

    `other_share`: the most of the machine that other programs took in any of the measurements.
    """

    before: Served
    now: Served
    cycle_ms: float
    connections: dict[str, int]
    other_share: float


class Measuring:
    """Measures one webserver."""

    def __init__(self, stage: Stage, server: Webserver, api: Api) -> None:
        self._stage, self._server, self._api = stage, server, api
        self.other_shares: list[float] = []

    def go(self, load: Load) -> tuple[Tally, Usage]:
        """Prepare the load, then measure it."""
        database = self._stage.postgres.pid or 0
        with asyncio.Runner() as runner:
            runner.run(load.prepare())
            with metered(webserver=self._server.pid, database=database, database_url=self._stage.database_url) as usage:
                runner.run(load.go())
            runner.run(load.close())
        self.other_shares.append(usage.other_share)
        return load.tally, usage

    def beats(self) -> FullSpeed:
        rounds = [
            self.go(HeartbeatsOnly(self._api, self._stage.tickets(TASKS), tasks=TASKS, for_s=ROUND_S))
            for _ in range(ROUNDS)
        ]
        tally, usage = min(rounds, key=lambda each: sum(each[1].cpu_s) / each[0].count)
        whole = sum(usage.cpu_s)
        return FullSpeed(
            per_s=max(tally.count / usage.wall_s for tally, usage in rounds),
            cpu_ms=1000 * whole / tally.count,
            database_cpu_ms=1000 * usage.database_cpu_s / tally.count,
            shares=[each / whole for each in usage.cpu_s],
            memory_mib=max((usage.memory_mib for _, usage in rounds), key=sum),
            connections=max(usage.connections for _, usage in rounds),
        )

    def cycle_ms(self) -> float:
        """Return the processor time of a task's start, rendered fields and end."""
        at_once = 8
        tickets = self._stage.tickets(240)
        tally, usage = self.go(StartsAndEnds(self._api, tickets, tasks=at_once, for_s=ROUND_S))
        # The first tasks were started before, so their ends are alone.
        return 1000 * sum(usage.cpu_s) / len(tally.seconds["start"])

    def running(self, pace: Interval) -> Running:
        tickets = self._stage.tickets(2 * TASKS)
        tally, usage = self.go(
            RunningTasks(self._api, tickets, tasks=TASKS, for_s=RUNNING_S, task_s=TASK_S, interval_s=pace)
        )
        times = [1000 * each for each in tally.all_s]
        return Running(
            per_s=tally.count / usage.wall_s,
            p50_ms=statistics.median(times),
            p95_ms=statistics.quantiles(times, n=20)[-1],
            slowest_ms=max(times),
            cores=sum(usage.cpu_s) / usage.wall_s,
        )


def _count_connections(stage: Stage) -> dict[str, int]:
    """Return the most connections that each of Airflow's other roles had."""
    most: dict[str, int] = {}
    with stage.other_roles() as ids, psycopg.connect(stage.database_url, autocommit=True) as connection:
        until = time.monotonic() + SETTLES_S
        while time.monotonic() < until:
            time.sleep(SAMPLE_EVERY_S)
            for role, pid in ids.items():
                most[role] = max(most.get(role, 0), connections_of(family(pid), connection))
    return most


def measure(say: Callable[[str], None]) -> Figures:
    """Measure everything. Raises CommandError when a server does not start."""
    processes = max(2, min(MOST_PROCESSES, os.cpu_count() or 1))
    with prepared_stage() as stage:
        say("one process, a heartbeat a second")
        with stage.webserver(1) as (server, api):
            former = Measuring(stage, server, api)
            before = Served(processes=1, beats=former.beats(), running=former.running(every_second))
        say(f"{processes} processes, the heartbeats of today")
        with stage.webserver(processes) as (server, api):
            present = Measuring(stage, server, api)
            now = Served(processes=processes, beats=present.beats(), running=present.running(of_today))
            cycle_ms = present.cycle_ms()
        say("the other processes of Airflow")
        connections = _count_connections(stage)
    return Figures(
        before=before,
        now=now,
        cycle_ms=cycle_ms,
        connections=connections,
        other_share=max(*former.other_shares, *present.other_shares),
    )
