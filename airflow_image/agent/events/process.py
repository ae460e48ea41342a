"""The process beside the scheduler that sends state changes to EventBridge.

It only reads Airflow's database, in which each change is, by person or process. Of the copies of the service `airflow`
one sends; the others wait for a lock of the database.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import Any

import boto3
import redis
from botocore.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from agent import heartbeat, variables
from agent.broker import Outage, in_words, registry_of
from agent.events.changes import Changes
from agent.events.event import Site
from agent.events.follow import Follower
from agent.events.indexes import followed_since
from agent.events.position import Position
from agent.events.sender import NotSent, Sender
from agent.events.told import Told
from agent.events.waiting import Waiting
from agent.read_only import read_only
from agent.reporter import ReportingThread
from telemetry.undelivered import write_line

log = logging.getLogger(__name__)

TICK_EVERY_S = 5.0
# Without the indexes each tick reads the whole tables.
TICK_WITHOUT_INDEXES_EVERY_S = 60.0
STANDBY_EVERY_S = 15.0
STATEMENT_TIMEOUT_MS = 30_000
ONLY_ONE = 7_241_650_321  # an advisory lock that Airflow does not use
SAY_EVERY_S = 60.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CLIENT = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`bus`: the ARN of the bus."""

    bus: str
    site: Site

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings that the entrypoint has checked. Raises KeyError."""
        site = Site(environment=environment[variables.STACK_NAME], url=environment[variables.BASE_URL])
        return cls(bus=environment[variables.EVENT_BUS], site=site)


class Process:
    """Sends while it holds the lock. `tick` raises no error of database, broker or EventBridge."""

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine,
        position: Position,
        client: Any,
        beat: Callable[[], None] = lambda: None,
        write: Callable[[str], None] = write_line,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client`: boto3's for EventBridge. `beat` is called as often as something is done.

        `write` takes a line of the container's log, `clock` returns seconds.
        """
        self._engine, self._position, self._beat = engine, position, beat
        self._told = Told()
        self._sender = Sender(client, settings.bus)
        self._follower = Follower(self._sender, settings.site, told=self._told, advance=self._advance)
        self._connection: Connection | None = None
        self._has_indexes = True
        self._outage = Outage("events wait", log)
        self._waiting, self._clock = Waiting(write), clock
        self._unindexed = Outage("events: an index of the database is missing, see docs/events.md", log)

    @property
    def is_sender(self) -> bool:
        return self._connection is not None

    def tick(self) -> float:
        """Send what has changed, once; return the seconds until the next tick."""
        try:
            connection = self._connected()
            if connection is not None:
                self._send(connection)
        except (SQLAlchemyError, redis.RedisError) as error:
            self._end_connection()
            self._note_failure(in_words(error))
        except NotSent as error:
            self._note_failure(error)
        else:
            # Another process sends, or this one has sent all.
            self._outage.end()
            self._waiting.note_success()
            if connection is None:
                return STANDBY_EVERY_S
        return TICK_EVERY_S if self._has_indexes else TICK_WITHOUT_INDEXES_EVERY_S

    def _note_failure(self, why: object) -> None:
        self._outage.begin(why)
        self._waiting.note_failure(now=self._clock())

    def counts(self) -> dict[str, Any]:
        """Return what the log says once a minute."""
        return {"sent": self._sender.sent, "refused": self._sender.refused, "remembered": len(self._told)}

    def _connected(self) -> Connection | None:
        """Return the connection that holds the lock; None while another process has it."""
        if self._connection is not None:
            return self._connection
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": ONLY_ONE}):
                connection.close()
                return None
        except SQLAlchemyError:
            connection.close()
            raise
        self._position.forget()
        self._connection = connection
        return connection

    def _send(self, connection: Connection) -> None:
        since = followed_since(connection)
        self._has_indexes = since is not None
        if self._has_indexes:
            self._unindexed.end()
        else:
            self._unindexed.begin("each tick reads the whole tables")
        now: datetime = connection.scalar(text("SELECT clock_timestamp()"))
        begin = self._position.begin(now=now, followed_since=since)
        self._follower.tick(Changes(connection), since=begin)

    def _advance(self, until: datetime) -> None:
        self._position.advance(until)
        self._beat()

    def _end_connection(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def main() -> None:
    """Send until a signal asks to stop."""
    import airflow_local_settings  # noqa: F401 - as Airflow's own processes: it follows rotations of the password

    for number in STOP_SIGNALS:
        signal.signal(number, _end)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it says where it found credentials
    ReportingThread(os.environ)
    process = Process(
        Settings.from_environment(os.environ),
        engine=read_only(os.environ[variables.DATABASE_URL], statement_timeout_ms=STATEMENT_TIMEOUT_MS, name="events"),
        position=Position(registry_of(os.environ)),
        client=boto3.client("events", config=CLIENT),
        beat=lambda: heartbeat.beat(os.environ, heartbeat.EVENTS),
    )
    said_at, said = time.monotonic(), process.counts()
    while True:
        pause_s = process.tick()
        heartbeat.beat(os.environ, heartbeat.EVENTS)
        if time.monotonic() - said_at >= SAY_EVERY_S and process.counts() != said:
            said_at, said = time.monotonic(), process.counts()
            log.info("events: %s", ", ".join(f"{name} {count}" for name, count in said.items()))
        time.sleep(pause_s)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End at once: what was sent and not noted is sent again by the next process."""
    os._exit(0)
