"""A system to measure: Airflow's processes with servers to use, started and stopped one by one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import httpx
import redis

from bench.micro.machine import family_cpu_s, family_pss_mib
from bench.tasks.runs import Runs
from bench.tasks.servers import Servers
from local.fargate.container import Container
from local.servers.ports import HOST, free_port
from local.stack.rest_api import Airflow
from project.errors import CommandError
from project.paths import BENCH_ENVIRONMENT
from project.waiting import wait_until

WEBSERVER, SCHEDULER, DAG_PROCESSOR = "webserver", "scheduler", "dag-processor"
MIGRATE, WORKER, RUNNER = "migrate", "worker", "runner"
DAGS = Path(__file__).with_name("dags")
USER, QUEUE = "admin", "default"
STARTS_WITHIN_S = 900.0  # the machine may be busy with other work
STOPS_WITHIN_S = 30.0
ASK_EVERY_S = 0.02  # for what is measured
MANY_TASKS = 256  # for `parallelism`, far more than any worker here has slots


class System(ABC):
    """One system. `variables`: what the DAG files read.

    `worker_roles` are the containers of a worker in the order in which they start.
    """

    name: ClassVar[str]
    broker_database: ClassVar[int]
    unacked_key: ClassVar[str]  # of the messages that the worker holds
    worker_roles: ClassVar[tuple[str, ...]]

    def __init__(self, servers: Servers, folder: Path, *, dag_ids: Sequence[str], variables: Mapping[str, str]) -> None:
        self.servers = servers
        self.folder = folder / self.name
        self.folder.mkdir()
        self.variables = {**variables, "TZ": "UTC"}
        self.url_port, self.execution_port = free_port(), free_port()
        self.broker: redis.Redis = servers.broker(self.broker_database)
        self._dag_ids = dag_ids
        self._containers: dict[str, Container] = {}
        self._runs: Runs | None = None
        servers.add_database(self.name)

    @abstractmethod
    def argv(self, role: str, *, slots: int) -> list[str]:
        """Return the command of a role; `slots`: of a worker."""

    @abstractmethod
    def environment(self, role: str, home: Path, *, slots: int) -> dict[str, str]:
        """Return the variables of a role's processes."""

    @property
    def runs(self) -> Runs:
        if self._runs is None:
            raise CommandError(f"{self.name} has not been started")
        return self._runs

    def migrate(self) -> None:
        """Make the tables of the database. Raises CommandError."""
        container = self._start(MIGRATE, slots=1)
        if container.process.wait(STARTS_WITHIN_S):
            raise CommandError(f"{self.name}: the database could not be migrated: {container.last_line()}")
        del self._containers[MIGRATE]

    def start(self, *, slots: int) -> None:
        """Start everything but the worker, for a pool with so many slots. Raises CommandError."""
        since = time.time()
        for role in (WEBSERVER, SCHEDULER, DAG_PROCESSOR):
            self._start(role, slots=slots)
        self._wait(self._answers, what="start of the webserver", roles=(WEBSERVER,))
        url = f"http://{HOST}:{self.url_port}"
        self._runs = runs = Runs(
            Airflow(url, user=USER, password=self.servers.password), self.servers.database(self.name)
        )
        self._wait(lambda: runs.are_parsed(self._dag_ids, since=since), what="parsing", roles=(DAG_PROCESSOR,))

    def start_worker(self, slots: int) -> float:
        """Start a worker; return the seconds until it waits for messages. Raises CommandError."""
        began = time.monotonic()
        for role in self.worker_roles:
            self._start(role, slots=slots)
        self._wait(self._is_consuming, what="start of the worker", roles=self.worker_roles, every_s=ASK_EVERY_S)
        return time.monotonic() - began

    def stop_worker(self) -> None:
        """Stop the worker, which has no task."""
        for role in reversed(self.worker_roles):
            self._stop(role)

    def give_headroom(self, *, slots: int) -> None:
        """Start the scheduler anew for a pool with so many slots, with a `parallelism` that never limits."""
        self._stop(SCHEDULER)
        self._start(SCHEDULER, slots=slots, AIRFLOW__CORE__PARALLELISM=str(MANY_TASKS))

    def stop(self) -> None:
        """Stop everything and empty the broker."""
        if self._runs is not None:
            self._runs.close()
            self._runs = None
        for role in reversed(tuple(self._containers)):
            self._stop(role)
        self.broker.flushdb()

    def kill(self) -> None:
        """End all processes at once."""
        for container in self._containers.values():
            container.kill()
        if self._runs is not None:
            self._runs.close()
        self.broker.close()

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time of each role and server. Raises CommandError when a role has ended."""
        self._check(*self._containers)
        return {role: family_cpu_s(each.pid) for role, each in self._containers.items()} | self.servers.cpu_s()

    def pss_mib(self, *roles: str) -> float | None:
        """Return the memory of these roles; None if this user may not read it. Raises CommandError."""
        self._check(*roles)
        found = [family_pss_mib(self._containers[role].pid) for role in roles]
        known = [each for each in found if each is not None]
        return sum(known) if len(known) == len(found) else None

    def image_environment(self, home: Path, *, pythonpath: Sequence[Path]) -> dict[str, str]:
        """Return what differs from the variables of an image: the folders, and what the DAGs import besides."""
        (packages,) = BENCH_ENVIRONMENT.glob("lib/python3*/site-packages")
        return {"PYTHONPATH": ":".join(map(str, (*pythonpath, packages))), "HOME": str(home), "TMPDIR": str(home)}

    def _start(self, role: str, *, slots: int, **more: str) -> Container:
        home = self.folder / role
        home.mkdir(exist_ok=True)
        self._containers[role] = container = Container(
            name=role,
            argv=self.argv(role, slots=slots),
            env={**self.environment(role, home, slots=slots), **more},
            home=home,
            log_path=self.folder / f"{role}.log",
        )
        return container

    def _stop(self, role: str) -> None:
        if (container := self._containers.pop(role, None)) is None:
            return
        container.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            container.process.wait(STOPS_WITHIN_S)
        container.kill()

    def _wait(self, ready: Callable[[], bool], *, what: str, roles: Sequence[str], every_s: float = 0.1) -> None:
        def is_ready() -> bool:
            self._check(*roles)
            return ready()

        wait_until(is_ready, what=f"{self.name}: {what}", timeout_s=STARTS_WITHIN_S, every_s=every_s)

    def _check(self, *roles: str) -> None:
        for role in roles:
            container = self._containers[role]
            if container.exit_code is not None:
                raise CommandError(f"{self.name}: the {role} has ended: {container.last_line()}")

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"http://{HOST}:{self.url_port}/api/v2/monitor/health"
            return httpx.get(url, trust_env=False, timeout=STARTS_WITHIN_S).status_code == httpx.codes.OK
        return False

    def _is_consuming(self) -> bool:
        """Return whether a client waits for a message; in each database of Redis only a worker does."""
        clients = self.broker.client_list()
        return any(each["cmd"] == "brpop" and each["db"] == str(self.broker_database) for each in clients)
