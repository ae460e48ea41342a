"""The servers that both systems use: Postgres, Redis, and a program in place of AWS."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import redis

from bench.micro.machine import family_cpu_s
from fleet import access
from local.servers import process
from local.servers.ports import HOST, free_port
from local.servers.postgres import Postgres
from local.servers.redis import Redis
from project import clients

AWS_PROGRAM = Path(__file__).with_name("aws_program.py")
DATABASE_USER = "airflow"
BUCKET = "task-logs"


class Servers:
    """Running servers. Each system has a database of its own in Postgres and in Redis."""

    def __init__(self, folder: Path) -> None:
        self.postgres, self.redis = Postgres(folder / "postgres"), Redis(folder / "redis", has_users=True)
        self.password = secrets.token_hex(16)  # of every user of both
        self._aws_port = free_port()
        self._aws: process.Child | None = None
        self._folder = folder

    @property
    def aws_url(self) -> str:
        return f"http://{HOST}:{self._aws_port}"

    def start(self) -> None:
        """Start them. Raises StartError when one does not start."""
        self.postgres.start()
        self.redis.start()
        argv = [sys.executable, str(AWS_PROGRAM), str(self._aws_port)]
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        self._aws = process.spawn(argv, env=environment, cwd=self._folder, log_path=self._folder / "aws.log")

    def close(self) -> None:
        """End them and remove their data."""
        if self._aws is not None:
            process.stop(self._aws)
        self.redis.stop()
        self.postgres.remove()

    def aws_environment(self) -> dict[str, str]:
        """Return the variables by which an SDK finds the program in place of AWS."""
        return clients.environment(self.aws_url)

    def add_broker_users(self, pools: Mapping[str, Sequence[str]]) -> None:
        """Make the broker's users of the template, which has these queues by pool."""
        with self.redis.client() as client:
            for user in access.users(pools):
                client.execute_command(
                    "ACL", "SETUSER", user.name, "reset", *user.access_string().split(), f">{self.password}"
                )

    def add_database(self, name: str) -> None:
        self.postgres.provision(DATABASE_USER, self.password, name)

    def database_url(self, name: str, *, driver: str = "postgresql") -> str:
        return f"{driver}://{DATABASE_USER}:{self.password}@{self.postgres.host}:{self.postgres.port}/{name}"

    def database(self, name: str) -> psycopg.Connection[Any]:
        """Connect to a database, in autocommit mode."""
        return psycopg.connect(self.database_url(name), autocommit=True)

    def broker_url(self, number: int) -> str:
        """Return the address of a database of Redis, with all rights."""
        return f"{self.redis.url.rpartition('/')[0]}/{number}"

    def broker(self, number: int) -> redis.Redis:
        """Return a client of a database of Redis, with all rights; bytes in and out."""
        return redis.Redis.from_url(self.broker_url(number))

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time of each server."""
        pids = {"postgres": self.postgres.pid, "redis": self.redis.pid}
        return {name: family_cpu_s(pid) for name, pid in pids.items() if pid is not None}

    def aws_cpu_s(self) -> float:
        """Return the processor time of the program in place of AWS."""
        return 0.0 if self._aws is None else family_cpu_s(self._aws.pid)


@contextlib.contextmanager
def running_servers(folder: Path) -> Iterator[Servers]:
    """Run the servers until the block ends. Raises StartError when one does not start."""
    servers = Servers(folder)
    try:
        servers.start()
        yield servers
    finally:
        servers.close()
