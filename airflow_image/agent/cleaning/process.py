"""One cleaning of the database: says what is old, deletes it unless it is only asked, and says what went."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from agent import variables
from agent.cleaning.connection import AlreadyCleaning, Steps, only_connection
from agent.cleaning.rows import count_old, delete_old, existing_tables
from agent.cleaning.runs import OldRuns
from agent.cleaning.tables import Table

log = logging.getLogger(__name__)

DAY_S = 86_400
DONE, FAILED = 0, 1
LAST = "log"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`keep_days`: what ended longer ago goes. `is_dry`: only say what would go."""

    keep_days: int
    is_dry: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings that the entrypoint has checked."""
        return cls(
            keep_days=int(environment[variables.CLEAN_KEEP_DAYS]), is_dry=bool(environment.get(variables.CLEAN_DRY_RUN))
        )


def main() -> int:
    """Clean the database that the environment names; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    settings = Settings.from_environment(os.environ)
    try:
        with only_connection(os.environ[variables.DATABASE_URL]) as connection:
            steps = Steps(connection, before=time.time() - DAY_S * settings.keep_days)
            return DONE if clean(steps, settings) else FAILED
    except (AlreadyCleaning, SQLAlchemyError) as error:
        log.error("failed: %s", _in_words(error))
        return FAILED


def clean(steps: Steps, settings: Settings) -> bool:
    """Say what is old, then delete it. Return whether all of it is gone, or could be counted in a dry run.

    A table that fails does not keep the others; the last one then keeps its rows, because they stand for all.
    """
    began = time.monotonic()
    moment = datetime.fromtimestamp(steps.before, tz=UTC)
    log.info("keeps %d days: what ended before %s UTC is old", settings.keep_days, f"{moment:%Y-%m-%d %H:%M}")
    runs = OldRuns(steps)
    log.info("old: %d runs with %d task instances", runs.runs, runs.tasks)
    tables = existing_tables(steps)
    for table in tables:
        if count := count_old(steps, table):
            log.info("old: %d of %s", count, table.name)
    if settings.is_dry:
        log.info("dry run: nothing was deleted")
        return True
    gone_runs, gone_tasks = runs.delete()
    log.info("deleted: %d runs with %d task instances", gone_runs, gone_tasks)
    failed = [table.name for table in tables if table.name != LAST and not _delete(steps, table)]
    if not failed:
        failed = [table.name for table in tables if table.name == LAST and not _delete(steps, table)]
    seconds = time.monotonic() - began
    if failed:
        log.error("failed: %s; the rest is clean, after %.0f s", ", ".join(failed), seconds)
        return False
    log.info("clean after %.0f s", seconds)
    return True


def _delete(steps: Steps, table: Table) -> bool:
    try:
        deleted = delete_old(steps, table)
    except SQLAlchemyError as error:
        log.error("failed: %s: %s", table.name, _in_words(error))
        return False
    if deleted:
        log.info("deleted: %d of %s", deleted, table.name)
    return True


def _in_words(error: Exception) -> str:
    """Return the first line of what the server said. The statement and its values are not logged."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
