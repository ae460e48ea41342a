"""Run in Airflow's own environment: asks its database through each of Airflow's engines; the last line is JSON."""

import asyncio
import json
import sys

from airflow import settings
from airflow.utils.session import create_session, create_session_async
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

QUESTION = text("select 1")


def ask() -> None:
    with create_session() as session:
        session.execute(QUESTION)


async def ask_async() -> None:
    try:
        async with create_session_async() as session:
            await session.execute(QUESTION)
    finally:
        await settings.async_engine.dispose()


answers = {}
for name, step in (("sync", ask), ("async", lambda: asyncio.run(ask_async()))):
    try:
        step()
        answers[name] = "answered"
    except (DBAPIError, OSError) as error:  # asyncpg lets the error of a handshake through as it is
        answers[name] = "refused" if "certificate" in str(error) else repr(error)
sys.stdout.write(json.dumps(answers))
