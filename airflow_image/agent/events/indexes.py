"""The indexes by which changes are found, which Airflow's schema does not have: `python -m agent.events.indexes`.

`migrate` makes them where events are sent, without keeping anyone from writing, and drops them where they are not. When
they were made is in their comments: before that no one followed.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import UTC, datetime

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from agent import variables

log = logging.getLogger(__name__)

INDEXES = {"fleet_task_instance_changes": "task_instance", "fleet_dag_run_changes": "dag_run"}
CONNECT_TIMEOUT_S = 10
# Of ten million task instances a build takes minutes; it waits for the transactions that were there before.
STATEMENT_TIMEOUT_MS = 1_800_000
ONLY_ONE = 7_241_650_320  # an advisory lock that Airflow does not use
DONE, FAILED = 0, 1
VALID = """
    SELECT i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relname = :name AND c.relnamespace = CAST(current_schema() AS regnamespace)
"""
SINCE = """
    SELECT min(obj_description(c.oid)) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relname = ANY(:names) AND c.relnamespace = CAST(current_schema() AS regnamespace) AND i.indisvalid
    HAVING count(*) = :count
"""


def main() -> int:
    """Make or drop the indexes, by whether there is a bus; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options, "application_name": "migrate"}
    engine = create_engine(
        os.environ[variables.DATABASE_URL],
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=arguments,
        isolation_level="AUTOCOMMIT",  # Postgres makes such an index outside of transactions only
    )
    try:
        with engine.connect() as connection:
            # Who waited for the lock would hold a snapshot that the building of an index waits for.
            if connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": ONLY_ONE}):
                apply(connection, is_wanted=bool(os.environ.get(variables.EVENT_BUS)), now=time.time())
            else:
                log.info("events: another process makes the indexes")
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        log.error("events: the indexes are not made: %s", said[0] if said else type(error).__name__)
        return FAILED
    return DONE


def apply(connection: Connection, *, is_wanted: bool, now: float) -> None:
    """Make the indexes that are missing or were left half made, or drop all. Raises SQLAlchemyError."""
    for name, table in INDEXES.items():
        is_valid = connection.scalar(text(VALID), {"name": name})
        if is_valid is not None and not (is_wanted and is_valid):
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
            is_valid = None
        if is_wanted and is_valid is None:
            began = time.monotonic()
            connection.execute(text(f"CREATE INDEX CONCURRENTLY {name} ON {table} (updated_at, id)"))
            connection.execute(text(f"COMMENT ON INDEX {name} IS '{datetime.fromtimestamp(now, UTC).isoformat()}'"))
            log.info("events: made an index of %s within %.1f s", table, time.monotonic() - began)


def followed_since(connection: Connection) -> datetime | None:
    """Return since when changes are followed; None where an index is missing. Raises SQLAlchemyError."""
    since = connection.scalar(text(SINCE), {"names": list(INDEXES), "count": len(INDEXES)})
    return None if since is None else datetime.fromisoformat(since)


if __name__ == "__main__":
    import airflow_local_settings  # noqa: F401 - as Airflow's own processes: it follows rotations of the password

    sys.exit(main())
