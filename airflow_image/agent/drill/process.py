"""One drill: counts what a database has, and, of a restored one, migrates it and says what it lacks.

The last line of the log is a JSON object with the answer. Lines are written as they are: Airflow, once imported, gives
those of Python's logging another form.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from agent import variables
from agent.drill.contents import Counts, count, lacks, lost
from agent.drill.schema import missing_parts

CONNECT_TIMEOUT_S = 30
WHOLE, BROKEN = 0, 1
NOT_AIRFLOWS = "there is no table alembic_version: this is no database of Airflow, or not all of it"


def main() -> int:
    """Count, or examine a restored database if the environment says what the original has; return the exit code."""
    engine = create_engine(
        os.environ[variables.DATABASE_URL],
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
    )
    expected = os.environ.get(variables.DRILL_EXPECTED)
    try:
        if not expected:
            with engine.connect() as connection:
                _answer(counts=count(connection))
            return WHOLE
        return examine(engine, json.loads(expected))
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        _answer(problems=[f"the database failed: {said[0] if said else type(error).__name__}"])
        return BROKEN


def examine(engine: Engine, expected: Counts) -> int:
    """Migrate the database and say what it lacks; return the exit code. Raises SQLAlchemy's errors."""
    began = time.monotonic()
    problems: list[str] = []
    with engine.connect() as connection:
        before = count(connection)
        problems += lacks(expected, before)
        revision = _revision(connection)
    _say(f"restored: {_in_words(before)}")
    after = before
    if revision is None:
        problems.append(NOT_AIRFLOWS)
    else:
        problems += _migrate()
        with engine.connect() as connection:
            after, migrated = count(connection), _revision(connection)
        _say(f"migrated: from revision {revision} to {migrated}")
        problems += lost(before, after)
        problems += (f"missing: {part}" for part in missing_parts(engine))
    for problem in problems:
        _say(problem)
    _answer(counts=after, problems=problems, revision=revision, seconds=round(time.monotonic() - began, 1))
    return BROKEN if problems else WHOLE


def _revision(connection: Any) -> str | None:
    ((exists,),) = connection.execute(text("select to_regclass('alembic_version') is not null"))
    return connection.scalar(text("select version_num from alembic_version")) if exists else None


def _migrate() -> Iterator[str]:
    """Migrate as the container `migrate` does; yield why it failed, if it did."""
    done = subprocess.run(["airflow", "db", "migrate"], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        yield f"airflow db migrate failed with exit code {done.returncode}: {said[-1] if said else 'no output'}"


def _in_words(counts: Counts) -> str:
    return ", ".join(f"{many} {what}" for what, many in counts.items() if many is not None)


def _answer(**answer: Any) -> None:
    _say(json.dumps(answer))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
