"""The one connection of the cleaning, whose statements never keep the scheduler waiting for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

CONNECT_TIMEOUT_S = 10
# Counting what is old reads whole tables, once; each step of deleting takes a fraction of a second.
STATEMENT_TIMEOUT_MS = 600_000
# Who waits for a lock lets those wait who come after.
LOCK_TIMEOUT_MS = 2_000
LEAST_PAUSE_S = 0.02
# Of Postgres's advisory locks: a number that Airflow does not use, and no other meaning.
ONLY_ONE = 7_241_650_319


class AlreadyCleaning(Exception):
    """Another process cleans this database."""


class Steps:
    """Runs statements, each delete in a transaction of its own, followed by a pause of the same length.

    So at most half of what one session can do is taken from the database. `before` is the time in seconds since the
    epoch; what is older goes.
    """

    def __init__(self, connection: Connection, *, before: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._connection, self.before, self._sleep = connection, before, sleep

    def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """Return the rows of one statement, in its own transaction; `:before` is the limit."""
        with self._connection.begin():
            return self._execute(statement, values)

    def number(self, statement: str, **values: Any) -> int:
        """Return the only value of one statement."""
        ((value,),) = self.rows(statement, **values)
        return int(value)

    @contextmanager
    def step(self) -> Iterator[Callable[..., Sequence[Any]]]:
        """Run the statements of the block in one transaction, then pause."""
        began = time.monotonic()
        with self._connection.begin():
            yield lambda statement, **values: self._execute(statement, values)
        self._sleep(max(LEAST_PAUSE_S, time.monotonic() - began))

    def _execute(self, statement: str, values: dict[str, Any]) -> Sequence[Any]:
        result = self._connection.execute(text(statement), {"before": self.before, **values})
        return list(result) if result.returns_rows else []


@contextmanager
def only_connection(url: str) -> Iterator[Connection]:
    """Connect, and hold a lock that only one process can hold. Raises AlreadyCleaning, or SQLAlchemy's errors."""
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC"
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options, "application_name": "clean"}
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    with engine.connect() as connection:
        with connection.begin():
            ((is_only,),) = connection.execute(text("select pg_try_advisory_lock(:lock)"), {"lock": ONLY_ONE})
        if not is_only:
            raise AlreadyCleaning("another process cleans this database")
        yield connection
