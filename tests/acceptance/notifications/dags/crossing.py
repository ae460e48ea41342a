"""A DAG of a test: what tasks of one pool return, tasks of another read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow.sdk import dag, task

log = logging.getLogger(__name__)
MANY = 200_000  # of a few bytes each: more than the database should hold


@task(queue="default")
def large() -> list[str]:
    """Return more than the threshold."""
    return [f"fish {number}" for number in range(MANY)]


@task(queue="default")
def small() -> str:
    """Return less."""
    return "one fish"


@task(queue="default")
def part(number: int) -> list[str]:
    """Return more than the threshold, several times."""
    return [f"part {number}"] * MANY


@task(queue="quiet")
def read(values: list[str], one: str) -> None:
    """Read what the other pool returned."""
    log.info("read: %d, last %s, and %s", len(values), values[-1], one)


@task(queue="quiet")
def collect(parts: Sequence[list[str]]) -> None:
    """Read what mapped tasks of the other pool returned."""
    log.info("collected: %s", sorted((values[0], len(values)) for values in parts))


@dag(schedule=None)
def crossing() -> None:
    """Cross from pool to pool."""
    read(large(), small())
    collect(part.expand(number=[1, 2]))


crossing()
