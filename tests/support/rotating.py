"""Run in Airflow's own environment: connects through SQLAlchemy as Airflow does, while the test changes the password.

Reads a line before each step, answers with a line: `pool` (a query on the living pool), `new` (on a new connection),
`async` (on a new connection of asyncpg).
"""

import asyncio
import os
import sys

from asyncpg import PostgresError
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

answers, sys.stdout = sys.stdout, sys.stderr  # Airflow's log goes to standard output
import airflow_local_settings  # noqa: E402, F401 - what Airflow imports in each process

place = "{DATABASE_USER}:{DATABASE_PASSWORD}@{DATABASE_HOST}:{DATABASE_PORT}/{DATABASE_NAME}".format(**os.environ)
pooled = create_engine(f"postgresql+psycopg2://{place}")
fresh = create_engine(f"postgresql+psycopg2://{place}", poolclass=NullPool)


def ask(engine: Engine) -> object:
    with engine.connect() as connection:
        return connection.execute(text("select 1")).scalar_one()


async def ask_async() -> object:
    engine = create_async_engine(f"postgresql+asyncpg://{place}", poolclass=NullPool)
    async with engine.connect() as connection:
        return (await connection.execute(text("select 1"))).scalar_one()


steps = {"pool": lambda: ask(pooled), "new": lambda: ask(fresh), "async": lambda: asyncio.run(ask_async())}
for line in sys.stdin:
    try:
        answer = f"ok {steps[line.strip()]()}"
    except DBAPIError as error:
        answer = f"failed {type(error.orig).__name__}"
    except PostgresError as error:  # SQLAlchemy passes asyncpg's refusals of a connection on
        answer = f"failed {type(error).__name__}"
    print(answer, file=answers, flush=True)
