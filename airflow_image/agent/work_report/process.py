"""Writes the report on Airflow's work to the fleet registry."""

from __future__ import annotations

import logging

import redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from agent.broker import Outage
from agent.work_report.files import Setup
from agent.work_report.read import read_work
from fleet.registry import Registry
from fleet.work import WorkLimits

log = logging.getLogger(__name__)


class WorkReporter:
    """Reports each time it ticks. Without broker or database `tick` does not raise; the last report expires."""

    def __init__(self, limits: WorkLimits, setup: Setup, *, engine: Engine, registry: Registry) -> None:
        self._limits, self._setup = limits, setup
        self._engine, self._registry = engine, registry
        self._outage = Outage("Airflow's work is not reported", log)

    def tick(self) -> None:
        """Read and report once."""
        try:
            now = self._registry.now()
            with Session(self._engine) as session:
                report = read_work(session, limits=self._limits, setup=self._setup, now=now)
            self._registry.write_work(report)
        except (SQLAlchemyError, redis.RedisError, ValueError) as error:
            self._outage.begin(error)
        else:
            self._outage.end()
