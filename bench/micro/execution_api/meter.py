"""Measures what processes use while a load goes on: processor time, memory, connections to the database."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil
import psycopg

from bench.micro.machine import MIB, OtherLoad, family, family_cpu_s

SAMPLE_EVERY_S = 0.25
CONNECTIONS = "select client_port from pg_stat_activity where datname = current_database() and client_port > 0"


@dataclass
class Usage:
    """What was used.

    `cpu_s` of each of the webserver's processes, `database_cpu_s` of Postgres; `other_share`: of the machine's
    processors, by programs that are no part of the measurement; `memory_mib`: the most private memory of each process
    at one time; `connections`: the most that the webserver had at one time.
    """

    wall_s: float = 0.0
    cpu_s: list[float] = field(default_factory=list)
    database_cpu_s: float = 0.0
    other_share: float = 0.0
    memory_mib: list[float] = field(default_factory=list)
    connections: int = 0


@contextlib.contextmanager
def metered(*, webserver: int, database: int, database_url: str) -> Iterator[Usage]:
    """Measure until the block ends; the arguments are the processes' ids, and the database's address for psycopg."""
    serving, usage, ended = family(webserver), Usage(), threading.Event()
    sampler = threading.Thread(target=_sample, args=(serving, database_url, usage, ended))
    sampler.start()
    others, before, sql_s = OtherLoad(), _cpu_s(serving), family_cpu_s(database)
    try:
        yield usage
    finally:
        usage.wall_s = others.wall_s
        usage.cpu_s = [after - first for first, after in zip(before, _cpu_s(serving), strict=True)]
        usage.database_cpu_s = family_cpu_s(database) - sql_s
        usage.other_share = others.share(sum(usage.cpu_s) + usage.database_cpu_s)
        ended.set()
        sampler.join()


def _sample(serving: list[psutil.Process], url: str, usage: Usage, ended: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not ended.wait(SAMPLE_EVERY_S):
            usage.connections = max(usage.connections, connections_of(serving, connection))
            memory = [_private_mib(process) for process in serving]
            if sum(memory) > sum(usage.memory_mib):
                usage.memory_mib = memory


def connections_of(processes: list[psutil.Process], connection: psycopg.Connection[Any]) -> int:
    """Return how many connections to the database these processes have."""
    ports = {port for (port,) in connection.execute(CONNECTIONS).fetchall()}
    theirs = set()
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            theirs |= {found.laddr.port for found in each.net_connections("tcp4")}
    return len(ports & theirs)


def _private_mib(process: psutil.Process) -> float:
    return float(process.memory_full_info().uss) / MIB


def _cpu_s(processes: list[psutil.Process]) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]
